"""What makes a card sound: usable in file names, plausible figures, nothing left empty, and JSON gives it back."""

import json
import re
from dataclasses import asdict
from typing import Any

from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9-]{0,31}"
"""An id begins the names of audio files, ends at their first underscore, and names label files."""

_STATED = ("name", "title", "paper", "padding", "code_licence", "weights_licence", "training_data")


def id_problem(codec_id: str) -> str:
    """Say why ``codec_id`` cannot be an id, or nothing."""
    if re.fullmatch(ID_PATTERN, codec_id) and codec_id.lower() != "real":
        return ""
    return f"{codec_id!r} cannot be an id: at most 32 letters, digits and hyphens, and not 'real'"


def card_problems(card: CodecCard) -> list[str]:
    """List what is wrong with a card, in words."""
    problems = [f"{name} is empty" for name in _STATED if not getattr(card, name).strip()]
    problems += [problem] if (problem := id_problem(card.id)) else []
    if not 4_000 <= card.sample_rate <= 192_000:
        problems.append(f"sample_rate of {card.sample_rate} Hz")
    if not 1 <= card.hop_length <= card.sample_rate:
        problems.append(f"hop_length of {card.hop_length} samples")
    if card.codebooks < 1 or card.codebook_size < 2:
        problems.append(f"{card.codebooks} codebooks of {card.codebook_size}")
    if card.minimum_samples < 1 or card.context_seconds < 0:
        problems.append(f"minimum_samples {card.minimum_samples}, context_seconds {card.context_seconds}")
    if _as_json(card_from_facts(json.loads(_as_json(card)))) != _as_json(card):
        problems.append("JSON does not give back the same card")
    return problems


def card_from_facts(facts: dict[str, Any]) -> CodecCard:
    """Make the card that ``dataclasses.asdict`` described, also after a way through JSON."""
    checkpoint = facts["checkpoint"]
    if checkpoint is not None:
        files = (WeightsFile(**file | {"urls": tuple(file["urls"])}) for file in checkpoint["files"])
        checkpoint = OfficialCheckpoint(**checkpoint | {"files": tuple(files)})
    return CodecCard(**facts | {"checkpoint": checkpoint})


def _as_json(card: CodecCard) -> str:
    return json.dumps(asdict(card), sort_keys=True)
