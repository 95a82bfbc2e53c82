"""A small run to listen to: two languages, a speaker with a hostile name, a quarantined fake, a scored detector."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from detector_run import SPLIT, make_run

from codecfake.detector.score_files import publish_scores, score_path
from codecfake.detector.trials import read_trials
from codecfake.manifests.atomic import publish_json
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.schema import dataset_schema, item_schema, source_schema
from codecfake.pipeline.source import publish_source

HOSTILE = "<script>alert(1)</script>"
QUARANTINED = "p225_006"
DETECTOR = "mel-lcnn"


def make_listening_run(folder: Path) -> Path:
    """Eight utterances: 1 to 4 train, 5 dev, 6 to 8 eval; F04 of the sixth is quarantined."""
    make_run(folder, train=4, dev=1, evaluation=3)
    manifest = folder / "splits" / SPLIT / "manifest.parquet"
    rows = [
        _known(row)
        for row in pq.read_table(manifest).to_pylist()
        if (row["utterance_id"], row["codec"]) != (QUARANTINED, "F04")
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=dataset_schema()), manifest)
    publish_source(
        pa.Table.from_pylist([_source(row) for row in _genuine(rows)], source_schema()), _at(folder)
    )
    _publish_quarantine(folder / "shards" / "F04" / "00000")
    _publish_detector(folder)
    return folder


def _known(row: dict) -> dict:
    number = int(row["utterance_id"][-3:])
    is_english = number % 2 == 0
    speaker = HOSTILE if number == 8 else f"S{number}"
    return row | {"speaker": speaker, "language": "en" if is_english else "zh"}


def _genuine(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["codec"] == "real"]


def _source(row: dict) -> dict:
    return {
        "utterance_id": row["utterance_id"],
        "corpus": "vctk",
        "language": row["language"],
        "speaker": row["speaker"],
        "gender": "",
        "transcript": f"Sentence {row['utterance_id'][-3:]} </script><img src=x onerror=alert(2)>",
        "path": f"{row['utterance_id']}.flac",
        "seconds": row["seconds"],
        "samples": row["samples"],
        "sample_rate": row["sample_rate"],
        "channels": 1,
        "subtype": "PCM_16",
        "notes": "",
    }


def _at(folder: Path) -> Path:
    return folder / "source.parquet"


def _publish_quarantine(shard: Path) -> None:
    row = {
        "utterance_id": QUARANTINED,
        "codec": "F04",
        "file": f"F04_{QUARANTINED}.wav",
        "reason": "codec-silent",
        "message": "the output is silent",
        "samples": 0,
        "seconds": 0.0,
        "sample_rate": 0,
        "clipped_samples": 0,
    }
    pq.write_table(pa.Table.from_pylist([row], schema=item_schema()), shard / "items.parquet")
    record = {"codec": "F04", "shard": "00000", "source_seconds": 0.0, "wall_seconds": 0.0}
    publish_json(shard / "shard.json", record | {"items_sha256": file_sha256(shard / "items.parquet")})


def _publish_detector(folder: Path) -> None:
    trials = read_trials(folder, SPLIT)
    detector = folder / "detectors" / DETECTOR
    publish_json(detector / "model.json", {"split": SPLIT, "manifest_sha256": trials.digest})
    for part in trials.evaluated():
        publish_scores(detector / "scores", part.name, {file: 1.25 for file in part.files})
        assert score_path(detector / "scores", part.name).is_file()
