"""What a file name of Codecfake says about its utterance."""

import re
from collections.abc import Sequence

import numpy as np

NAME = re.compile(
    r"(?:(?P<codec>[A-Z][A-Za-z0-9-]*)_)?"
    r"(?P<utterance>(?P<vctk>p\d{3}|s5)_\d{3}(?:_mic[12])?|(?P<aishell>SSB\d{4})\d{4})"
    r"(?:\.\w+)?"
)
"""``F01_p225_001.wav``, ``C3-1_SSB00050001.wav``; a real file has no codec (knowledge base paper.md, A.4)."""


def columns_of_names(files: Sequence[str]) -> dict[str, np.ndarray]:
    """Give source utterance, codec, corpus, language and speaker of every file with a name of Codecfake.

    Args:
        files: File names, N of them.

    Returns:
        Text columns, shape (N,) each, with empty cells for other names; none when no name is of Codecfake.
    """
    found = [NAME.fullmatch(file.rpartition("/")[2]) for file in files]
    if not any(found):
        return {}
    rows = [_row(match) for match in found]
    names = ("utterance_id", "codec", "corpus", "language", "speaker")
    return {
        name: np.array(cells, dtype=object)
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    }


def _row(match: re.Match | None) -> tuple[str, str, str, str, str]:
    if match is None:
        return "", "", "", "", ""
    corpus, language = ("vctk", "en") if match["vctk"] else ("aishell3", "zh")
    return match["utterance"], match["codec"] or "real", corpus, language, match["vctk"] or match["aishell"]
