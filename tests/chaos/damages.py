"""What a disk, or a person, does to a finished run: found by `verify`, mended by `retry`."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.cycles import Tally
from chaos.faults import workers
from chaos.jobs import DETECTOR, Workshop
from chaos.processes import Attempt, Outcome, Work, command

SPLIT = "splits/published-seed0"
LASTING = (
    "file",
    "sha256",
    "label",
    "split",
    "conditions",
    "utterance_id",
    "codec",
    "samples",
    "source_sha256",
)
"""Columns of the manifest that a mended run has to agree on; a mended file lies in another shard."""


@dataclass(frozen=True)
class Damage:
    """One thing that happens to a run folder."""

    name: str
    path: str
    """What is damaged, relative to the run."""
    do: Callable[[Path], None]
    """Damages that file or folder."""
    told: str = ""
    """What `verify` has to name, if not the path."""


def flip_a_bit(path: Path) -> None:
    """In the middle of a file, past what a format may ignore."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0b100
    # A new file: the splits' links to the old one would else be damaged along, and the workshop's run with them.
    draft = path.with_name(f"{path.name}-flipped")
    draft.write_bytes(content)
    draft.replace(path)


def flip_a_bit_in_place(path: Path) -> None:
    """As a disk does: everything that is a link to the file is damaged."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0b100
    with path.open("r+b") as file:
        file.write(content)


def remove_record(shard: Path) -> None:
    """As a deletion that was stopped: the folder is there, what makes it a shard is not."""
    (shard / "shard.json").unlink()


DAMAGES = (
    Damage("deleted shard", "shards/X1/00000", shutil.rmtree, told="X1/00000"),
    Damage("half-deleted shard", "shards/real/00001", remove_record, told="real/00001"),
    Damage("bit in fake audio", "shards/X1/00001/audio/*.wav", flip_a_bit_in_place),
    Damage("bit in real audio", "shards/real/00000/audio/*.wav", flip_a_bit_in_place),
    Damage("deleted audio", "shards/X1/00002/audio/*.wav", Path.unlink),
    Damage("bit in items.parquet", "shards/X1/00001/items.parquet", flip_a_bit),
    Damage("bit in shard.json", "shards/real/00002/shard.json", flip_a_bit),
    Damage("bit in source.parquet", "source.parquet", flip_a_bit),
    Damage("bit in source.csv", "source.csv", flip_a_bit),
    Damage("bit in the manifest of a split", f"{SPLIT}/manifest.parquet", flip_a_bit),
    Damage("bit in its CSV", f"{SPLIT}/manifest.csv", flip_a_bit),
    Damage("bit in its counts", f"{SPLIT}/splits.json", flip_a_bit),
    Damage("bit in its labels", f"{SPLIT}/Codecfake/label/train.txt", flip_a_bit),
    Damage("deleted file of its tree", f"{SPLIT}/Codecfake/train/*.wav", Path.unlink),
    Damage("bit in weights of a detector", f"detectors/{DETECTOR}/model.safetensors", flip_a_bit),
)


def mend(damage: Damage, workshop: Workshop, folder: Path) -> Tally:
    """Damage a copy of the finished run, and have it found and mended."""
    tally = Tally(runs=1)
    run = folder / "run"
    _copy_with_links(workshop.run, run)
    detector = Path("detectors", DETECTOR)
    shutil.copytree(workshop.small_run / detector, run / detector)
    place = sorted(run.glob(damage.path))[0]
    damage.do(place)
    told = damage.told or place.relative_to(run).as_posix()

    def lose(what: str, outcome: Outcome) -> None:
        tally.losses.append(f"{damage.name}: {what}: exit code {outcome.exit_code}\n{outcome.output[-1500:]}")

    def call(work: Work, name: str) -> Outcome:
        return Attempt(work, folder / f"{name}.log", workers(2)).wait()

    found = call(command("verify", run), "verify")
    names = "".join(found.output.split())
    if found.exit_code != 1 or not found.is_clean or told not in names:
        lose("not found", found)
    tally.hits += found.exit_code == 1
    mended = call(command("retry", run, "--no-prefect"), "retry")
    if mended.exit_code:
        lose("not mended", mended)
    whole = call(command("verify", run), "verify-again")
    if whole.exit_code:
        lose("not whole afterwards", whole)
    same = call(lambda: _compare(workshop.run, run), "compare")
    if same.exit_code:
        lose("not the same dataset afterwards", same)
    if not tally.losses:
        shutil.rmtree(folder)
    return tally


def _copy_with_links(run: Path, copy: Path) -> None:
    """Copy a run so that the links of its trees lead to the audio of the copy."""
    copies: dict[int, str] = {}

    def copy_once(source: str, target: str) -> str:
        inode = Path(source).stat().st_ino
        if inode in copies:
            os.link(copies[inode], target)
        else:
            copies[inode] = shutil.copy2(source, target)
        return target

    shutil.copytree(run, copy, copy_function=copy_once)


def _compare(expected: Path, found: Path) -> None:
    """Fail unless two runs hold the same audio in the same splits."""
    import pyarrow.parquet as pq

    tables = [pq.read_table(run / SPLIT / "manifest.parquet") for run in (expected, found)]
    first, second = (table.select(list(LASTING)) for table in tables)
    if not first.equals(second):
        raise AssertionError(f"{first.num_rows} rows before, {second.num_rows} after")
    for row in tables[1].to_pylist():
        if hashlib.sha256((found / row["path"]).read_bytes()).hexdigest() != row["sha256"]:
            raise AssertionError(f"{row['path']} is not what the manifest says")
