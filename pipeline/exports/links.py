"""Loose audio files of an export: hard links to those of the run, or copies on another disk."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.tree import link_file

LINKS_AT_ONCE = 1_000
THREADS = 4


def link_audio(contents: Contents, out: Path, targets: Mapping[int, str], monitor: Monitor) -> None:
    """Put audio of a run under other names; what is there already is kept.

    Args:
        contents: The split.
        out: The export.
        targets: Row to path, relative to the export.
        monitor: Told about the progress.

    Raises:
        CodecfakeError: If a file is missing, or another one stands in its place.
    """
    paths = contents.table["path"].to_pylist()
    for folder in {Path(target).parent for target in targets.values()}:
        (out / folder).mkdir(parents=True, exist_ok=True)

    def link(pair: tuple[int, str]) -> str:
        return link_file(contents.run_dir / paths[pair[0]], out / pair[1])

    pairs = list(targets.items())
    monitor.begin("link", len(pairs), "files")
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(pairs), LINKS_AT_ONCE):
            monitor.raise_if_stopped()
            some = pairs[start : start + LINKS_AT_ONCE]
            for (_, target), outcome in zip(some, pool.map(link, some), strict=True):
                _refuse_failure(contents, target, outcome)
            monitor.advance(len(some))
    monitor.end()


def _refuse_failure(contents: Contents, target: str, outcome: str) -> None:
    if outcome == "missing":
        raise CodecfakeError(
            f"the audio of {target} is not in the run",
            cause="files of published shards were moved or deleted",
            next_step=f"codecfake verify {contents.run_dir}",
        )
    if outcome == "different":
        raise CodecfakeError(
            f"{target} is another file than the run's; it was not overwritten",
            next_step="move it away, or export to another folder",
        )
