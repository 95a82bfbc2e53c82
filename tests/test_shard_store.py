"""Publishing shards: nothing is there before it is whole and on disk; and the cost of many files."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_files import measure

from codecfake.manifests.atomic import flush_all_to_disk
from codecfake.manifests.schema import item_schema
from codecfake.pipeline.audio import encode_wav
from codecfake.pipeline.shard_store import (
    AUDIO,
    RECORD,
    ShardDamaged,
    drafts,
    is_published,
    latest_items,
    publish_shard,
    published_shards,
    read_shard_items,
    shard_draft,
)

FILES = 40


def write_draft(draft: Path) -> list[dict]:
    rows = []
    for index in range(FILES):
        name = f"F04_u{index:02d}.wav"
        content = encode_wav(np.full(1_600, index + 1, np.int16), 16_000)
        (draft / AUDIO / name).write_bytes(content)
        row = {"utterance_id": f"u{index:02d}", "codec": "F04", "file": name, "reason": None, "message": None}
        row |= {"path": f"shards/F04/00000/audio/{name}", "source_sha256": "0" * 64, "clipped_samples": 0}
        row |= {"samples": 1_600, "seconds": 0.1, "sample_rate": 16_000}
        rows.append(row | {"sha256": hashlib.sha256(content).hexdigest()})
    return rows


def inodes(*paths: Path) -> set[int]:
    return {path.stat().st_ino for path in paths}


def test_everything_is_on_disk_before_the_record_and_the_record_before_the_name(tmp_path, monkeypatch):
    synced: set[int] = set()
    steps: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def note_sync(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def check_record(source: Path, target: Path) -> None:
        assert Path(target).name == RECORD
        others = [path for path in Path(target).parent.rglob("*") if path != Path(source)]
        assert len(others) == FILES + 2
        assert inodes(*others, Path(source)) <= synced
        steps.append("record")
        synced.discard(Path(target).parent.stat().st_ino)
        replace(source, target)

    def check_name(source: Path, target: Path) -> None:
        assert inodes(Path(source), *Path(source).rglob("*")) <= synced
        steps.append("name")
        synced.discard(Path(target).parent.stat().st_ino)
        rename(source, target)

    with shard_draft(tmp_path, "F04", "00000") as draft:
        rows = write_draft(draft)
        monkeypatch.setattr(os, "fsync", note_sync)
        monkeypatch.setattr(os, "replace", check_record)
        monkeypatch.setattr(os, "rename", check_name)
        publish_shard(draft, tmp_path, "F04", "00000", rows, {})
    assert steps == ["record", "name"]
    assert inodes(tmp_path / "shards" / "F04") <= synced
    assert read_shard_items(tmp_path / "shards" / "F04" / "00000").num_rows == FILES


def test_of_every_utterance_the_latest_row_with_audio_counts():
    def rows(shard: str, *utterances: tuple[str, str | None]) -> tuple[Path, pa.Table]:
        common = {"codec": "F04", "path": shard, "samples": 1, "seconds": 1.0, "sample_rate": 1}
        common |= {"file": "", "clipped_samples": 0}
        table = [common | {"utterance_id": name, "reason": reason} for name, reason in utterances]
        return Path("shards/F04") / shard, pa.Table.from_pylist(table, schema=item_schema())

    shards, tables = zip(
        rows("00000", ("a", None), ("b", "empty"), ("c", None)),
        rows("00001", ("d", "empty"), ("e", "empty"), ("f", None)),
        rows("retry-001-00000", ("b", None), ("c", "damaged"), ("d", "missing"), ("e", None)),
        rows("retry-002-00000", ("b", "silent"), ("d", "silent"), ("e", None)),
        strict=True,
    )
    found = {row["utterance_id"]: row["path"] for row in latest_items(shards, tables).to_pylist()}
    first, second = "retry-001-00000", "retry-002-00000"
    assert found == {"a": "00000", "b": first, "c": "00000", "d": second, "e": second, "f": "00001"}
    assert latest_items(shards[:2], tables[:2]).num_rows == 6
    assert latest_items((), ()).num_rows == 0


def flip_a_byte(folder: Path, rows: list[dict]) -> None:
    path = folder / rows[7]["file"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_a_file(folder: Path, rows: list[dict]) -> None:
    os.truncate(folder / rows[7]["file"], 100)


def lose_a_file(folder: Path, rows: list[dict]) -> None:
    (folder / rows[7]["file"]).unlink()


def add_a_file(folder: Path, rows: list[dict]) -> None:
    (folder / "stranger.wav").write_bytes(b"")


def claim_more_samples(folder: Path, rows: list[dict]) -> None:
    rows[7]["samples"] += 1


def claim_another_rate(folder: Path, rows: list[dict]) -> None:
    rows[7]["sample_rate"] = 24_000


@pytest.mark.parametrize(
    "damage", [flip_a_byte, cut_a_file, lose_a_file, add_a_file, claim_more_samples, claim_another_rate]
)
def test_a_draft_that_is_not_what_its_rows_say_is_not_published(tmp_path, damage):
    with pytest.raises(ShardDamaged), shard_draft(tmp_path, "F04", "00000") as draft:
        rows = write_draft(draft)
        damage(draft / AUDIO, rows)
        publish_shard(draft, tmp_path, "F04", "00000", rows, {})
    assert not is_published(tmp_path, "F04", "00000")
    assert published_shards(tmp_path) == drafts(tmp_path) == []


@pytest.mark.parametrize("count", [0, 1, 5, 50])
def test_every_file_is_flushed_once(tmp_path, monkeypatch, count):
    paths = [tmp_path / str(index) for index in range(count)]
    for path in paths:
        path.write_text("some")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(os.fstat(descriptor).st_ino))
    flush_all_to_disk(paths, threads=8)
    assert sorted(seen) == sorted(inodes(*paths))


def test_a_file_that_cannot_be_flushed_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        flush_all_to_disk([tmp_path / str(index) for index in range(20)], threads=4)


def test_every_step_over_many_files_finds_all_of_them(tmp_path):
    stages = measure(tmp_path, 8 * 60)
    assert {name: row["files"] for name, row in stages.items()} == {
        "list the corpora": 60,
        "inspect: hash and decode": 60,
        "write": 480,
        "flush and publish": 480,
        "read the items": 480,
        "split and link the tree": 480,
        "status": 480,
        "verify: store and tree": 480,
    }
