"""Named sets of codecs, as the papers have them."""

import difflib

from codecfake.codec_adapters.errors import CodecError

PRESETS = {
    "codecfake": ("F01", "F02", "F03", "F04", "F05", "F06", "F07"),
    "codecfake-bitrates": ("C3-1", "C3-2", "C3-3", "C3-4", "C4-1", "C4-2", "C4-3"),
    "codecfake-15": ("A", "B1", "B2", "B3", "C", "D1", "D2", "D3", "E", "F1", "F2", "F3", "F4", "F5", "F6"),
}
"""Codecfake's seven conditions and its bit-rate variants (arXiv 2405.04880), CodecFake's fifteen (2406.07237)."""


def preset_codecs(name: str) -> tuple[str, ...]:
    """Give the ids of a preset.

    Raises:
        CodecError: If there is none of that name; a close one is offered.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(PRESETS)}"
        raise CodecError(f"there is no preset {name!r}; {hint}")
    return PRESETS[name]
