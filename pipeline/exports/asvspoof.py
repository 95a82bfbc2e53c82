"""ASVspoof-style protocols, ``SPEAKER FILE - ATTACK KEY`` as in 2019 LA, beside the audio they name.

The third column names the robustness condition where a file is under one, as the codec stands there in 2021.
"""

from pathlib import Path

from codecfake.manifests.atomic import publish_text
from codecfake.manifests.labels import Label
from codecfake.manifests.splits import codec_role
from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.exports.layout import Layout
from codecfake.pipeline.exports.links import link_audio
from codecfake.pipeline.exports.naming import audio_name, stem_of
from codecfake.pipeline.monitor import Monitor

PROTOCOLS = {"train": "train.trn", "dev": "dev.trl", "eval": "eval.trl"}
FOLDER = "Codecfake_cm_protocols"


def write_loose(contents: Contents, out: Path, monitor: Monitor) -> None:
    """Link the audio, then write the protocols; an attack is called by its condition, C4."""
    link_audio(contents, out, dict(enumerate(locations(contents))), monitor)
    lines: dict[str, list[str]] = {split: [] for split in PROTOCOLS}
    columns = [contents.table[name].to_pylist() for name in ("split", "speaker", "file", "codec", "label")]
    columns.append(contents.setting.to_pylist())
    for split, speaker, file, codec, label, setting in zip(*columns, strict=True):
        attack = codec_role(codec).condition or "-"
        key = Label.parse(label).protocol_name
        lines[split].append(f"{_word(speaker)} {stem_of(file)} {setting or '-'} {attack} {key}\n")
    for split, path in _protocols().items():
        publish_text(out / path, "".join(lines[split]))


def locations(contents: Contents) -> list[str]:
    """Where each row lies."""
    columns = (contents.table[name].to_pylist() for name in ("split", "file", "path"))
    return [
        f"Codecfake_{split}/wav/{audio_name(file, path)}" for split, file, path in zip(*columns, strict=True)
    ]


def _protocols() -> dict[str, str]:
    return {split: f"{FOLDER}/Codecfake.cm.{name}.txt" for split, name in PROTOCOLS.items()}


def _word(text: str) -> str:
    return "_".join(text.split()) or "-"


LAYOUT = Layout(
    write_loose=write_loose,
    loose_audio=locations,
    loose_lists=lambda contents: list(_protocols().values()),
    locations=locations,
)
