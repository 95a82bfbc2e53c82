"""Small source and item tables, with or without audio files behind them, for the tests of splits."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from codecfake.manifests.dataset import CodecRecord
from codecfake.manifests.schema import REAL, item_schema, source_schema

RECORDS = {
    "F01": CodecRecord('{"codec": "soundstream"}', "a" * 64),
    "F04": CodecRecord('{"codec": "encodec", "kbps": 6.0}', "b" * 64),
    "F07": CodecRecord('{"codec": "dac"}', "c" * 64),
    "mimi": CodecRecord('{"codec": "mimi"}', "d" * 64),
}


def make_source(ids: Sequence[str], bad: Iterable[str] = ()) -> pa.Table:
    """One row per id; the speaker and the corpus follow from the id, speakers alternate in gender."""
    bad = set(bad)
    speakers = [name[:7] if name.startswith("SSB") else name[:4] for name in ids]
    order = {speaker: index for index, speaker in enumerate(sorted(set(speakers)))}
    rows = [
        {
            "utterance_id": name,
            "corpus": "aishell3" if name.startswith("SSB") else "vctk",
            "language": "zh" if name.startswith("SSB") else "en",
            "speaker": speaker,
            "gender": "FM"[order[speaker] % 2],
            "transcript": None,
            "path": f"wav/{speaker}/{name}.wav",
            "seconds": 1.0,
            "samples": 48_000,
            "sample_rate": 48_000,
            "channels": 1,
            "subtype": "PCM_16",
            "sha256": None if name in bad else sha256(f"source of {name}"),
            "reason": "unreadable" if name in bad else None,
            "message": "not audio" if name in bad else None,
            "notes": "",
        }
        for name, speaker in zip(ids, speakers, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=source_schema())


def make_items(source: pa.Table, codecs: Sequence[str], run_dir: Path | None = None) -> pa.Table:
    """Items of bona fide audio and of ``codecs``; with ``run_dir``, each file holds its own name."""
    rows = []
    for codec in (REAL, *codecs):
        for row in source.to_pylist():
            name = f"{row['utterance_id']}.wav" if codec == REAL else f"{codec}_{row['utterance_id']}.wav"
            path = f"shards/{codec}/0000/audio/{name}"
            if run_dir and row["reason"] is None and not (run_dir / path).exists():
                (run_dir / path).parent.mkdir(parents=True, exist_ok=True)
                (run_dir / path).write_text(name)
            rows.append(
                {
                    "utterance_id": row["utterance_id"],
                    "codec": codec,
                    "file": name,
                    "path": None if row["reason"] else path,
                    "reason": row["reason"],
                    "message": row["message"],
                    "samples": 16_000,
                    "seconds": 1.0,
                    "sample_rate": 16_000,
                    "source_sha256": row["sha256"],
                    "sha256": None if row["reason"] else sha256(name),
                    "clipped_samples": 0,
                }
            )
    return pa.Table.from_pylist(rows, schema=item_schema())


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def vctk_ids(speakers: int, utterances: int) -> list[str]:
    return [f"p{225 + s}_{u:03d}" for s in range(speakers) for u in range(1, utterances + 1)]
