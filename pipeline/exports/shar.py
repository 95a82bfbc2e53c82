"""Lhotse Shar: per shard, a list of cuts and a tar with their recordings, whose bytes are kept.

Lhotse's own writer encodes audio anew, so the files are written here.
"""

import gzip
import io
import json
from pathlib import Path
from typing import Any

from codecfake.manifests.atomic import published
from codecfake.pipeline.exports.contents import Contents, about
from codecfake.pipeline.exports.groups import group_rows
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.naming import audio_name, stem_of
from codecfake.pipeline.exports.tars import open_tar
from codecfake.pipeline.exports.units import Unit, cut
from codecfake.pipeline.monitor import Monitor

SHARD_BYTES = 500e6


def plan(contents: Contents) -> list[Unit]:
    """Shards per group, in a folder of its own."""
    units = []
    for group in group_rows(contents):
        parts = cut(contents, group.rows, SHARD_BYTES)
        units += [
            Unit(f"{group.name}/recording.{at:06d}.tar", group.name, part) for at, part in enumerate(parts)
        ]
    return units


def write_unit(contents: Contents, out: Path, unit: Unit, path: Path, monitor: Monitor) -> None:
    """Write a shard's recordings, and publish its cuts before them: with the recordings the shard is whole."""
    lines = io.StringIO()
    with open_tar(path) as tar:
        for row, content in contents.read(unit.rows, monitor):
            cut_id = stem_of(row["file"])
            recording = _recording(cut_id, row, _channels(content) if contents.imported else 1)
            tar.add(audio_name(row["file"], row["path"]), content)
            tar.add(f"{cut_id}.json", json.dumps(recording).encode())
            lines.write(json.dumps(_cut(cut_id, row, recording), ensure_ascii=False) + "\n")
    with published(out / _cuts_path(unit)) as temporary:
        temporary.write_bytes(gzip.compress(lines.getvalue().encode(), mtime=0))


def _cuts_path(unit: Unit) -> str:
    """The list of cuts that belongs to a shard's recordings."""
    folder, _, name = unit.path.partition("/recording.")
    return f"{folder}/cuts.{name.removesuffix('.tar')}.jsonl.gz"


def _channels(content: bytes) -> int:
    import soundfile

    return soundfile.info(io.BytesIO(content)).channels


def _recording(cut_id: str, row: dict[str, Any], channels: int) -> dict[str, Any]:
    return {
        "id": cut_id,
        "sources": [{"type": "shar", "channels": list(range(channels)), "source": ""}],
        "sampling_rate": row["sample_rate"],
        "num_samples": row["samples"],
        "duration": row["samples"] / row["sample_rate"],
        "channel_ids": list(range(channels)),
    }


def _cut(cut_id: str, row: dict[str, Any], recording: dict[str, Any]) -> dict[str, Any]:
    channels = recording["channel_ids"]
    is_mono = len(channels) == 1
    extent = {"start": 0, "duration": recording["duration"], "channel": 0 if is_mono else channels}
    speech = {name: row[name] for name in ("language", "speaker", "gender")}
    supervision = {"id": cut_id, "recording_id": cut_id, **extent, "text": row["transcript"], **speech}
    custom = {name: value for name, value in about(row).items() if name not in speech}
    return {
        "id": cut_id,
        **extent,
        "supervisions": [supervision],
        "recording": recording,
        "custom": custom,
        "type": "MonoCut" if is_mono else "MultiCut",
    }


LAYOUT = Layout(plan, write_unit, companions=lambda unit: [_cuts_path(unit)])
