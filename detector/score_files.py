"""Score files: ``filename<TAB>cm-score`` with a header, higher = bona fide, at full precision."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from codecfake.detector.loading import Unreadable
from codecfake.manifests.atomic import publish_text
from codecfake.manifests.errors import CodecfakeError

HEADER = "filename\tcm-score"
UNREADABLE_FILE = "unreadable.tsv"
UNREADABLE_HEADER = "filename\treason\tmessage"


def score_path(scores_dir: Path, part: str) -> Path:
    """Where the scores of ``dev`` or of a condition are."""
    return scores_dir / f"{part}.tsv"


def publish_scores(scores_dir: Path, part: str, scores: Mapping[str, float]) -> None:
    """Publish the scores of one part; ``repr`` keeps every bit of a float."""
    lines = [HEADER, *(f"{file}\t{value!r}" for file, value in scores.items())]
    publish_text(score_path(scores_dir, part), "\n".join(lines) + "\n")


def read_scores(scores_dir: Path, part: str) -> dict[str, float]:
    """Read the scores of one part.

    Args:
        scores_dir: The scores folder.
        part: ``dev`` or a condition.

    Returns:
        Score by file name, in file order; empty when the part is not scored yet.

    Raises:
        CodecfakeError: If the file is not a score file; the message names the line.
    """
    path = score_path(scores_dir, part)
    if not path.is_file():
        return {}
    header, *lines = _lines(path) or [""]
    if header != HEADER:
        raise CodecfakeError(
            f"{path} starts with {header[:120]!r}, not with {HEADER!r}", next_step="remove it and score again"
        )
    scores: dict[str, float] = {}
    for number, line in enumerate(lines, start=2):
        file, _, value = line.partition("\t")
        try:
            scores[file] = float(value)
        except ValueError:
            raise CodecfakeError(
                f"{path}, line {number}: {value[:120]!r} is no score", next_step="remove it and score again"
            ) from None
    return scores


def publish_unreadable(scores_dir: Path, files: Iterable[Unreadable], kept: Iterable[str] = ()) -> None:
    """Publish the list of files that have no score, with their reasons.

    Args:
        scores_dir: The scores folder.
        files: The files.
        kept: Lines of the former list that still hold.
    """
    lines = [UNREADABLE_HEADER, *kept]
    lines += [f"{bad.file}\t{bad.reason}\t{' '.join(bad.message.split())}" for bad in files]
    publish_text(scores_dir / UNREADABLE_FILE, "\n".join(lines) + "\n")


def unreadable_lines(scores_dir: Path) -> list[str]:
    """The lines of the list of unreadable files, without the header."""
    path = scores_dir / UNREADABLE_FILE
    return _lines(path)[1:] if path.is_file() else []


def _lines(path: Path) -> list[str]:
    """Lines as they were joined; of damaged ones, bytes that are no UTF-8 are escaped."""
    return path.read_bytes().decode("utf-8", "backslashreplace").removesuffix("\n").split("\n")


def read_unreadable(scores_dir: Path) -> set[str]:
    """Names of the files that are listed as unreadable."""
    return {line.partition("\t")[0] for line in unreadable_lines(scores_dir)}
