"""Reading score files of the field, recognised by their content; higher score = bona fide in all of them."""

import csv
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from codecfake.detector.evaluation.text_files import LABEL_WORDS, BadLines, numbered_lines
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

SAMPLED_LINES = 200
CLEAR_SHARE = 0.8
"""Share of the lines of any format that have to be of one, for a file to be of that format."""
TSV_HEADER = ("filename", "cm-score")
CSV_HEADER = ("id", "score", "label")


@dataclass(frozen=True)
class ScoreFormat:
    """One layout of score files."""

    name: str
    layout: str
    has_labels: bool
    has_header: bool
    split: Callable[[str], list[str]]
    """Cuts a line into name, score, and, where the format has them, label and attack."""


@dataclass(frozen=True)
class ScoreFile:
    """What a score file says, N trials."""

    path: Path
    format: ScoreFormat
    files: list[str]
    scores: np.ndarray
    """Shape (N,), float64."""
    labels: np.ndarray | None
    """Class indices (`Label`), shape (N,), int64; None where the format has none."""
    attacks: np.ndarray | None
    """Text, shape (N,), of ASVspoof 2019 files."""
    bad: BadLines


class _Unfit(ValueError):
    """A line is not of its format; the text says why."""


def _from_right(count: int, order: tuple[int, ...]) -> Callable[[str], list[str]]:
    """Split by spaces or tabs from the right, so that a name may hold spaces; fields in the wanted order."""

    def split(line: str) -> list[str]:
        fields = line.rsplit(maxsplit=count - 1)
        if len(fields) != count:
            raise _Unfit(f"{len(fields)} columns instead of {count}")
        return [fields[at] for at in order]

    return split


def _tabs(line: str) -> list[str]:
    fields = line.split("\t")
    if len(fields) != len(TSV_HEADER):
        raise _Unfit(f"{len(fields)} columns instead of {len(TSV_HEADER)}")
    return fields


def _commas(line: str) -> list[str]:
    try:
        fields = next(csv.reader([line]))
    except csv.Error as error:
        raise _Unfit("line that is no CSV") from error
    if len(fields) != len(CSV_HEADER):
        raise _Unfit(f"{len(fields)} columns instead of {len(CSV_HEADER)}")
    name, score, label = fields
    if score.startswith("["):
        score = _logit_difference(score)
    words = {"0": Label.SPOOF.protocol_name, "1": Label.BONA_FIDE.protocol_name}
    return [name, score, words.get(label.strip(), label)]


def _logit_difference(text: str) -> str:
    """AntiDeepfake writes the logits of fake and real, in this order."""
    try:
        fake, real = json.loads(text)
        return repr(float(real) - float(fake))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return text


TSV = ScoreFormat("tsv", "filename<TAB>cm-score with a header (codecfake, ASVspoof 5)", False, True, _tabs)
AUTHORS = ScoreFormat(
    "authors", "name score label (the authors of Codecfake)", True, False, _from_right(3, (0, 1, 2))
)
ASVSPOOF2019 = ScoreFormat(
    "asvspoof2019", "utterance attack key score (ASVspoof 2019)", True, False, _from_right(4, (0, 3, 2, 1))
)
ASVSPOOF2021 = ScoreFormat(
    "asvspoof2021", "utterance score (ASVspoof 2021, Speech DF Arena)", False, False, _from_right(2, (0, 1))
)
ANTIDEEPFAKE = ScoreFormat("antideepfake", "ID,Score,Label with a header (AntiDeepfake)", True, True, _commas)
FORMATS = {known.name: known for known in (TSV, AUTHORS, ASVSPOOF2019, ASVSPOOF2021, ANTIDEEPFAKE)}


def read_score_file(path: Path, format_name: str | None = None) -> ScoreFile:
    """Read a plain or gzipped score file.

    A line that cannot be read is set aside with a reason and never stops the reading. That holds for a header
    in a format that has none: it is neither dropped silently nor read as a trial.

    Args:
        path: The file.
        format_name: A name of `FORMATS`; recognised by content when not given.

    Returns:
        Its trials, in file order.

    Raises:
        CodecfakeError: If the file is absent, its format cannot be told, or no line of it is a score.
    """
    known = _named_format(format_name) if format_name else recognise(path)
    files: list[str] = []
    scores: list[float] = []
    labels: list[Label] = []
    attacks: list[str] = []
    line_of: dict[str, int] = {}
    bad = BadLines()
    lines = numbered_lines(path)
    if known.has_header:
        _check_header(path, known, next(lines, (1, "")))
    for number, line in lines:
        try:
            name, score, *rest = known.split(line)
            value, label = _score(score), _label(rest[0]) if known.has_labels else None
            if line_of.setdefault(name, number) != number:
                raise _Unfit("name that occurred before; the first line of it counts")
        except _Unfit as error:
            bad.add(number, str(error), line)
            continue
        files.append(name)
        scores.append(value)
        if label is not None:
            labels.append(label)
        attacks += rest[1:]
    if not files:
        raise CodecfakeError(
            f"{path} holds no score: {bad.summary(path)}" if bad.first else f"{path} is empty",
            next_step=f"check the file; formats: {', '.join(FORMATS)}",
        )
    return ScoreFile(
        path=path,
        format=known,
        files=files,
        scores=np.array(scores, dtype=np.float64),
        labels=np.array(labels, dtype=np.int64) if known.has_labels else None,
        attacks=np.array(attacks, dtype=object) if attacks else None,
        bad=bad,
    )


def recognise(path: Path) -> ScoreFormat:
    """Tell the format of a score file from its first lines.

    Raises:
        CodecfakeError: If it is none, or could be several; the message says how to name one.
    """
    lines = [line for _, line in islice(numbered_lines(path), SAMPLED_LINES)]
    if not lines:
        raise CodecfakeError(f"{path} is empty", cause="the scoring was stopped or wrote elsewhere")
    if _header(lines[0], "\t") == TSV_HEADER:
        return TSV
    if _header(lines[0], ",") == CSV_HEADER:
        return ANTIDEEPFAKE
    votes = Counter(map(_vote, lines))
    unknown = votes.pop("", 0)
    if votes:
        best, count = votes.most_common(1)[0]
        if count >= CLEAR_SHARE * votes.total() and count > unknown:
            return FORMATS[best]
    raise CodecfakeError(
        f"{path} cannot be recognised as a score file; it starts with {lines[0][:120]!r}",
        cause=_guess(lines, votes),
        next_step="name the format: " + ", ".join(f"--format {name}" for name in FORMATS),
    )


def _vote(line: str) -> str:
    """Name of the format that one line fits, empty when it fits none or may fit several."""
    fields = line.split()
    is_number = [_is_number(field) for field in fields]
    is_label = [field.lower() in LABEL_WORDS for field in fields]
    if len(fields) >= 3 and is_label[-1] and is_number[-2]:
        return AUTHORS.name
    if len(fields) == 4 and is_label[2] and is_number[3]:
        return ASVSPOOF2019.name
    if len(fields) == 2 and is_number[1]:
        return ASVSPOOF2021.name
    return ""


def _guess(lines: list[str], votes: Counter[str]) -> str:
    """What a file that is not recognised may be."""
    if len(votes) > 1:
        return "its lines are of several formats: " + ", ".join(f"{name} {n:,}" for name, n in votes.items())
    fields = lines[-1].split()
    words = [field.lower() in LABEL_WORDS for field in fields]
    if any(words):
        return "it is a list of labels (a key or protocol): give it with --key; or its columns are in no known order"
    if len(fields) > 2 and _is_number(fields[-1]):
        return f"{len(fields)} columns without a label: several scores per line, or names that hold spaces"
    return "it is no score file, or is damaged at its start"


def _named_format(name: str) -> ScoreFormat:
    if name not in FORMATS:
        listed = "; ".join(f"{known.name}: {known.layout}" for known in FORMATS.values())
        raise CodecfakeError(f"there is no score format {name!r}", next_step=f"--format with one of {listed}")
    return FORMATS[name]


def _header(line: str, separator: str) -> tuple[str, ...]:
    return tuple(field.strip().lower() for field in line.split(separator))


def _check_header(path: Path, known: ScoreFormat, first: tuple[int, str]) -> None:
    wanted, separator = (TSV_HEADER, "\t") if known is TSV else (CSV_HEADER, ",")
    if _header(first[1], separator) != wanted:
        raise CodecfakeError(
            f"{path} starts with {first[1][:120]!r}, not with the header of {known.layout}",
            next_step="add the header, or name another --format",
        )


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _Unfit("score that is no number (a header?)") from None
    if not math.isfinite(value):
        raise _Unfit("score that is not finite")
    return value


def _label(word: str) -> Label:
    label = LABEL_WORDS.get(word.lower())
    if label is None:
        raise _Unfit("unknown label")
    return label


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
