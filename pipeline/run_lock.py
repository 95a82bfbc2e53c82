"""One build at a time in a run folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codecfake.manifests.atomic import publish_json
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.locks import sole_holder
from codecfake.pipeline.provenance import describe_process

LOCK = ".lock"
HOLDER = ".lock.json"


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold the run folder while the block runs; the system frees it when the process dies, however it dies.

    Raises:
        CodecfakeError: If another process holds it; the message says which.
    """
    run_dir.mkdir(parents=True, exist_ok=True)

    def refusal() -> CodecfakeError:
        return CodecfakeError(
            f"another process works on {run_dir}: {_holder(run_dir)}",
            next_step=f"wait for it and look at its progress: codecfake status {run_dir}",
        )

    with sole_holder(run_dir / LOCK, refusal):
        publish_json(run_dir / HOLDER, describe_process())
        yield


def _holder(run_dir: Path) -> str:
    try:
        process = json.loads((run_dir / HOLDER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "its identity is not written yet"
    return "{command} (process {pid} on {host}, started {started})".format_map(process)
