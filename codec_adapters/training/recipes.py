"""How a codec is trained: all that a training does, and which of the two recipes of a codec is meant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.training.codebooks import Dropout
from codecfake.codec_adapters.training.discriminators import CHANNELS, DiscriminatorName
from codecfake.codec_adapters.training.losses import LossWeights
from codecfake.codec_adapters.training.mini_recipes import MINI
from codecfake.codec_adapters.training.paper_recipes import PAPER

WAVE_FIRST = LossWeights(wave=6.0, envelope=0.0)
"""While the envelopes count, a fresh network learns the rhythm of speech and no phase."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a training does, apart from its data and its seed."""

    codec: str
    """Id of the card of which this network is a size."""
    network: Mapping[str, Any] = field(hash=False)
    """Sizes, as the adapter's ``build`` takes them."""
    sample_rate: int
    hop_length: int
    crop_samples: int
    """Length of a crop, whole hops."""
    batch_size: int
    """Crops per step and process."""
    working_level: float | None = None
    """Root mean square that every wave is brought to; it stays as it is when absent."""
    delay_samples: int = 0
    """By how much the network may answer late: what a causal encoder has not seen, no decoder can give."""
    steps: int
    """Updates of the weights, the warm-up included."""
    warmup_steps: int = 0
    """Updates without the quantiser, before the codebooks are made."""
    opening_steps: int = 0
    """First updates, with losses of their own."""
    opening_losses: LossWeights = WAVE_FIRST
    encoder_steps: int | None = None
    """Updates after which encoder and codebooks stay as they are; never when absent."""
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 1e-4
    schedule: Literal["constant", "cosine", "exponential"] = "cosine"
    final_rate: float = 0.05
    """What is left of the learning rate at the end of a cosine, or after ``steps`` of an exponential schedule."""
    gradient_clip: float | None = 1.0
    weight_norm: bool = True
    """Of the convolutions while they train."""
    data_dependent_start: bool = True
    """Scale every convolution by what the first batch makes of it."""
    losses: LossWeights = field(default_factory=LossWeights)
    fft_sizes: tuple[int, ...] = (2048, 1024, 512, 128)
    codebooks_learn_by: Literal["running means", "principal directions", "gradients"] = "running means"
    codebook_decay: float = 0.99
    dropout: Dropout = field(default_factory=Dropout)
    discriminators: tuple[DiscriminatorName, ...] = ()
    discriminator_channels: int = CHANNELS
    reconstruction_steps: int = 0
    """Updates before the discriminators join."""
    discriminator_share: float = 1.0
    """Of the updates, in which the discriminators learn, too."""
    adversarial_kind: Literal["hinge", "least squares"] = "hinge"
    relative_features: bool = False
    """Compare features in proportion to their magnitude, as EnCodec does."""
    averaging: float = 0.997
    """Decay of the running mean of the weights that is handed out; 0 hands out the weights themselves."""
    precision: Literal["fp32", "bf16"] = "fp32"


def recipe_for(codec_id: str, kind: Literal["paper", "mini"]) -> Recipe:
    """Give the recipe of a codec; codecs of one network share it.

    Args:
        codec_id: Id or name of a card.
        kind: ``paper`` for the published network and its paper's own hyper-parameters, ``mini`` for a reduced one.

    Raises:
        CodecError: If there is no recipe for that codec.
    """
    from codecfake.codec_adapters.registry import find_codec

    card = find_codec(codec_id).card
    recipes = {"paper": PAPER, "mini": MINI}[kind]
    for name, values in recipes.items():
        known = find_codec(name).card
        if (known.network, known.sample_rate) == (card.network, card.sample_rate):
            values = {"network": dict(known.network), **values}
            return Recipe(codec=name, sample_rate=known.sample_rate, hop_length=known.hop_length, **values)
    raise CodecError(
        f"there is no recipe to train {card.id} ({card.title}); there are recipes for {', '.join(recipes)}, and for "
        "the codecs that share a network with one of them"
    )
