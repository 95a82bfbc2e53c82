"""How a detector is trained: everything that its weights depend on, besides the data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codecfake.detector.sources import asvspoof2019
from codecfake.detector.training.sharpness import ASAM_RHO, SAM_RHO
from codecfake.manifests.errors import CodecfakeError

OPTIMIZERS = ("adam", "sam", "asam", "csam")
ORIGINAL = "original"
SHORT_SCHEDULE, LONG_SCHEDULE = (10, 2), (100, 10)
"""Epochs, and after how many the learning rate is halved (arXiv 2405.04880, section IV)."""
LONG_SCHEDULE_DATA = [asvspoof2019.NAME]
"""The data set that alone is trained on for long: it is 29 times smaller than Codecfake."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a detector is trained; the defaults are those of arXiv 2405.04880, section IV, and of its code.

    Raises:
        CodecfakeError: If a value is impossible.
    """

    model: str = "mel-lcnn"
    """One of `codecfake.detector.descriptions.MODELS`."""
    front_end_weights: str = "official"
    """official, tiny, or the path of weights."""
    optimizer: str = "adam"
    """adam, or around it sam, asam, or csam: sam on batches of two data sets in proportion to their sizes."""
    rho: float | None = None
    """Radius of sam, asam and csam; set to its default when absent: 0.05, and 2.0 for asam."""
    parity: str | None = None
    """"original": with the quirks of the authors' scripts."""
    epochs: int | None = None
    """10, or 100 on ASVspoof 2019 LA alone, when absent."""
    batch_size: int = 128
    """Utterances per step, over all processes."""
    learning_rate: float = 5e-4
    weight_decay: float = 5e-4
    halve_every: int | None = None
    """The learning rate is halved after so many epochs, again and again; 2, or 10 on ASVspoof 2019 LA alone."""
    bona_fide_weight: float = 10.0
    """Weight of a bona fide utterance in the loss; that of a spoof is 1."""
    seed: int = 688

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "halve_every", "bona_fide_weight"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise CodecfakeError(f"{name} is {value}; it has to be above 0")
        for name, choices in (("optimizer", OPTIMIZERS), ("parity", (None, ORIGINAL))):
            if getattr(self, name) not in choices:
                known = ", ".join(choice for choice in choices if choice)
                raise CodecfakeError(f"{name} is {getattr(self, name)!r}; known: {known}")
        if not self.is_sharp and self.rho is not None:
            raise CodecfakeError(
                "rho belongs to sam, asam and csam", next_step="--optimizer sam, or leave out --rho"
            )
        if self.rho is not None and not self.rho >= 0:
            raise CodecfakeError(f"rho is {self.rho}; it has to be 0 or above")
        if self.is_sharp and self.rho is None:
            # The authors ran ASAM with the radius of SAM, 40 times smaller than what it needs.
            is_fixed_asam = self.optimizer == "asam" and not self.is_original
            object.__setattr__(self, "rho", ASAM_RHO if is_fixed_asam else SAM_RHO)

    @property
    def is_sharp(self) -> bool:
        """Whether steps are sharpness-aware."""
        return self.optimizer != "adam"

    @property
    def is_original(self) -> bool:
        """Whether the quirks of the authors' scripts are wanted."""
        return self.parity == ORIGINAL

    def for_data(self, names: Sequence[str]) -> "TrainConfig":
        """Settle what depends on the data sets: the schedule.

        Args:
            names: Of the data sets to train on.
        """
        epochs, halve_every = LONG_SCHEDULE if list(names) == LONG_SCHEDULE_DATA else SHORT_SCHEDULE
        return replace(self, epochs=self.epochs or epochs, halve_every=self.halve_every or halve_every)

    def learning_rate_in(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 1."""
        return self.learning_rate * 0.5 ** ((epoch - 1) // self.halve_every)
