"""What scores mean: actDCF and Cllr need log-likelihood ratios, and are given only for what is one."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from codecfake.manifests.errors import CodecfakeError

LARGEST_BELOW_ONE = 1 - 2.0**-24
SMALLEST_ABOVE_ZERO = 2.0**-149
"""The probabilities nearest to 1 and 0 that a softmax in 32 bits can give."""


class Scale(StrEnum):
    """What the numbers of a score file are."""

    LLR = "llr"
    """Natural log-likelihood ratios, bona fide against spoof."""
    PROBABILITY = "probability"
    """Probabilities of bona fide, as a softmax gives them."""


def parse_scale(word: str | None) -> Scale | None:
    """Read what a user states; None stays None.

    Raises:
        CodecfakeError: If it is none of `Scale`.
    """
    if word is None:
        return None
    if word not in set(Scale):
        raise CodecfakeError(
            f"scores cannot be {word!r}", next_step=f"--scores with one of {', '.join(Scale)}"
        )
    return Scale(word)


@dataclass(frozen=True)
class Ratios:
    """How scores become log-likelihood ratios, if they do."""

    convert: Callable[[np.ndarray], np.ndarray] | None
    """Turns scores (N,) into ratios (N,); None where the scores are no such thing."""
    note: str
    """What was assumed, for every output."""

    def of(self, scores: np.ndarray) -> np.ndarray | None:
        """Ratios of some scores, shape (N,), or None."""
        return None if self.convert is None else self.convert(scores)


def are_probabilities(scores: np.ndarray) -> bool:
    """Whether all scores lie within 0 and 1."""
    return bool(((scores >= 0) & (scores <= 1)).all())


def ratios_of(scores: np.ndarray, stated: Scale | None, log_prior_odds: float = 0.0) -> Ratios:
    """Tell how the scores of a detector become log-likelihood ratios, as far as it is known what they are.

    Args:
        scores: All scores of the detector, shape (N,).
        stated: What the user says they are; without it, numbers that all lie within 0 and 1 are left alone.
        log_prior_odds: Natural logarithm of the odds of bona fide that the detector was trained on, which
            logits contain and likelihood ratios do not.

    Returns:
        The conversion, and a sentence that says what it is.

    Raises:
        CodecfakeError: If scores that are stated to be probabilities lie outside 0 and 1.
    """
    if stated is Scale.PROBABILITY:
        return _from_probabilities(scores)
    if stated is None and are_probabilities(scores):
        return Ratios(
            None,
            "actDCF and Cllr are left out: all scores lie within 0 and 1, so they look like probabilities, and those "
            "are no log-likelihood ratios. State what they are: --scores probability, or --scores llr",
        )
    if log_prior_odds:
        return Ratios(
            lambda part: part - log_prior_odds,
            "actDCF and Cllr: scores are logit differences; the log-likelihood ratio is the score minus "
            f"{log_prior_odds:.4f}, the log odds of bona fide in training (class counts times loss weights)",
        )
    return Ratios(
        lambda part: part, "actDCF and Cllr: scores are taken as natural log-likelihood ratios, as they are"
    )


def _from_probabilities(scores: np.ndarray) -> Ratios:
    """Logits, with 0 and 1 moved in to where the order of the scores stays."""
    if not are_probabilities(scores):
        raise CodecfakeError(
            f"the scores are stated to be probabilities, but reach from {scores.min():g} to {scores.max():g}",
            next_step="--scores llr, or leave --scores out",
        )
    inner = scores[(scores > 0) & (scores < 1)]
    low = min(SMALLEST_ABOVE_ZERO, inner.min(initial=1.0))
    high = max(LARGEST_BELOW_ONE, inner.max(initial=0.0))

    def logits(part: np.ndarray) -> np.ndarray:
        moved = np.clip(part, low, high)
        return np.log(moved) - np.log1p(-moved)

    return Ratios(
        logits,
        "actDCF and Cllr: scores are stated to be probabilities of bona fide and were turned into logits, which "
        f"are taken as log-likelihood ratios; {scores.size - inner.size:,} of {scores.size:,} are exactly 0 or 1 "
        "and got the outermost logit that a softmax in 32 bits or another score of the same detector gives",
    )
