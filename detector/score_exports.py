"""Score files in the forms that other evaluation tools read."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from codecfake.detector.score_files import read_scores
from codecfake.detector.sources.audio_index import SUFFIXES
from codecfake.detector.trials import TrialList
from codecfake.manifests.atomic import publish_text
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label

Scored = Iterator[tuple[int, float]]
"""Positions in a trial list, with their scores."""


def export_scores(scores_dir: Path, parts: Sequence[TrialList], form: str) -> list[Path]:
    """Write the scores once more, in ``SCORES/FORM/PART.txt`` (or ``.csv``).

    Args:
        scores_dir: Folder with the score files.
        parts: The lists that were scored.
        form: ``asvspoof2019`` (``utterance attack key score``), ``asvspoof2021`` (``utterance score``) or
            ``antideepfake`` (CSV with ID, Score, Label; Score holds the logits of fake and real, of which we
            know the difference only, and Label is 1 for real, as its evaluation.py says).

    Returns:
        The files written. Trials without a score are not in them.

    Raises:
        CodecfakeError: If there is no such form.
    """
    if form not in FORMS:
        raise CodecfakeError(f"there is no score format {form!r}; known: {', '.join(FORMS)}")
    write, suffix = FORMS[form]
    written = []
    for part in parts:
        scores = read_scores(scores_dir, part.name)
        scored = ((i, scores[file]) for i, file in enumerate(part.files) if file in scores)
        path = scores_dir / form / f"{part.name}{suffix}"
        publish_text(path, "".join(f"{line}\n" for line in write(part, scored)))
        written.append(path)
    return written


def _asvspoof2019(part: TrialList, scored: Scored) -> Iterator[str]:
    kind = "attack" if "attack" in part.columns else "codec"
    attacks = part.columns.get(kind)
    for i, score in scored:
        label = Label(part.labels[i])
        attack = attacks[i] if attacks is not None and label is Label.SPOOF else "-"
        yield f"{_utterance(part.files[i])} {attack or '-'} {label.protocol_name} {score!r}"


def _asvspoof2021(part: TrialList, scored: Scored) -> Iterator[str]:
    for i, score in scored:
        yield f"{_utterance(part.files[i])} {score!r}"


def _antideepfake(part: TrialList, scored: Scored) -> Iterator[str]:
    yield "ID,Score,Label"
    for i, score in scored:
        yield f'{_utterance(part.files[i])},"[0.0, {score!r}]",{int(part.labels[i] == Label.BONA_FIDE)}'


def _utterance(file: str) -> str:
    """The file name without its ending, which these forms do not have."""
    name, dot, suffix = file.rpartition(".")
    return name if dot and suffix.lower() in SUFFIXES else file


FORMS: dict[str, tuple[Callable[[TrialList, Scored], Iterator[str]], str]] = {
    "asvspoof2019": (_asvspoof2019, ".txt"),
    "asvspoof2021": (_asvspoof2021, ".txt"),
    "antideepfake": (_antideepfake, ".csv"),
}
"""How each form is written, and how its files end."""
