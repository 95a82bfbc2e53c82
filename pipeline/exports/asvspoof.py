"""ASVspoof-style protocols, ``SPEAKER FILE - ATTACK KEY`` as in 2019 LA, beside the audio they name.

The third column names the robustness condition where a file is under one, as the codec stands there in 2021.
"""

from pathlib import Path

from codecfake.manifests.atomic import publish_text
from codecfake.manifests.derived import PROCESSING
from codecfake.manifests.labels import Label
from codecfake.manifests.splits import codec_role
from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.links import link_audio
from codecfake.pipeline.monitor import Monitor

PROTOCOLS = {"train": "train.trn", "dev": "dev.trl", "eval": "eval.trl"}
FOLDER = "Codecfake_cm_protocols"


def write_loose(contents: Contents, out: Path, monitor: Monitor) -> None:
    """Link the audio, then write the protocols; an attack is called by its condition, C4."""
    link_audio(contents, out, dict(enumerate(locations(contents))), monitor)
    lines: dict[str, list[str]] = {split: [] for split in PROTOCOLS}
    columns = [contents.table[name].to_pylist() for name in ("split", "speaker", "file", "codec", "label")]
    columns.append(
        contents.table[PROCESSING].to_pylist() if contents.settings else [""] * contents.table.num_rows
    )
    for split, speaker, file, codec, label, setting in zip(*columns, strict=True):
        attack = codec_role(codec).condition or "-"
        key = Label.parse(label).protocol_name
        lines[split].append(f"{_word(speaker)} {Path(file).stem} {setting or '-'} {attack} {key}\n")
    for split, name in PROTOCOLS.items():
        publish_text(out / FOLDER / f"Codecfake.cm.{name}.txt", "".join(lines[split]))


def locations(contents: Contents) -> list[str]:
    """Where each row lies."""
    columns = (contents.table[name].to_pylist() for name in ("split", "file"))
    return [f"Codecfake_{split}/wav/{file}" for split, file in zip(*columns, strict=True)]


def _word(text: str) -> str:
    return "_".join(text.split()) or "-"


LAYOUT = Layout(write_loose=write_loose, locations=locations)
