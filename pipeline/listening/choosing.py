"""Which utterances to listen to: a seeded choice, balanced over languages and speakers, and any asked for."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from codecfake.manifests.errors import CodecfakeError


@dataclass(frozen=True)
class Candidate:
    """An utterance that may be chosen."""

    utterance_id: str
    speaker: str
    language: str
    is_evaluated: bool
    """Whether it belongs to the evaluation, whose files detectors score without having trained on them."""


def choose_utterances(candidates: Collection[Candidate], count: int, seed: int) -> list[str]:
    """Choose utterances, the languages in turn.

    Within a language, those of the evaluation come first, then those of the speaker heard least, then a seeded order.

    Args:
        candidates: The utterances there are, in any order.
        count: How many to choose; all of them where there are fewer.
        seed: Another seed gives another choice.

    Returns:
        Ids of utterances, in the order of the choice.
    """

    def seeded(candidate: Candidate) -> bytes:
        return hashlib.sha256(f"{seed}:{candidate.utterance_id}".encode()).digest()

    waiting: dict[str, dict[tuple[bool, str], list[Candidate]]] = {}
    for candidate in sorted(candidates, key=seeded, reverse=True):
        speakers = waiting.setdefault(candidate.language, {})
        speakers.setdefault((not candidate.is_evaluated, candidate.speaker), []).append(candidate)
    heard: Counter[str] = Counter()
    chosen: list[str] = []
    while waiting and len(chosen) < count:
        for language in sorted(waiting):
            speakers = waiting[language]
            is_other, speaker = min(
                speakers, key=lambda key: (key[0], heard[key[1]], seeded(speakers[key][-1]))
            )
            if len(chosen) < count:
                chosen.append(speakers[is_other, speaker].pop().utterance_id)
                heard[speaker] += 1
            if not speakers[is_other, speaker]:
                del speakers[is_other, speaker]
            if not speakers:
                del waiting[language]
    return chosen


def require_utterances(
    wanted: Sequence[str], known: Collection[str], why_not: Mapping[str, str], next_step: str
) -> None:
    """Refuse ids that a dataset does not have.

    Args:
        wanted: Ids that were asked for.
        known: Ids of the dataset.
        why_not: Reason by id, for utterances of the corpora that were not usable.
        next_step: What to type, for the message.

    Raises:
        CodecfakeError: If one is not known; ids that are near it are named.
    """
    for utterance_id in wanted:
        if utterance_id in known:
            continue
        if utterance_id in why_not:
            raise CodecfakeError(
                f"the utterance {utterance_id!r} is not in this dataset", cause=why_not[utterance_id]
            )
        close = get_close_matches(utterance_id, known, n=4, cutoff=0.7)
        hint = f"did you mean {', '.join(close)}?" if close else f"such as {min(known)}" if known else "none"
        raise CodecfakeError(f"there is no utterance {utterance_id!r}; {hint}", next_step=next_step)
