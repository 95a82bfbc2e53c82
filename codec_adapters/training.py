"""The trainer of reduced codec networks: waves in, a network that speaks out; it touches no file.

Shapes: B batch, T samples, F frames, D latent channels, N vectors.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from codecfake.codec_adapters.training_losses import ReconstructionLoss
from codecfake.codec_adapters.training_quantizers import trainable_quantizer

WAVE_WEIGHT = 0.4
"""Of the distance of waves, beside the distance of spectra, which weighs 1."""


class TrainingDivergedError(ArithmeticError):
    """The loss is not a finite number any more."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults suit networks of about a million parameters.

    Args:
        steps: Updates of the weights, the warm-up included.
        warmup_steps: Updates without the quantiser, before the codebooks are made.
        batch_size: Crops per update.
        crop_samples: Length of a crop in samples, a multiple of the codec's hop.
        learning_rate: Highest rate of AdamW; it falls to a twentieth along a cosine.
        commitment_weight: Weight of the distance between latents and their codewords.
        averaging: Decay of the running mean of the weights that is handed out.
        seconds: Wall-clock limit. The rate then follows whichever of steps and time is further on, and a run
            that the limit ends cannot be reproduced.
        seed: Of everything random.
    """

    steps: int
    warmup_steps: int = 400
    batch_size: int = 8
    crop_samples: int = 9600
    learning_rate: float = 1e-3
    commitment_weight: float = 0.2
    averaging: float = 0.997
    seconds: float = math.inf
    seed: int = 0


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands after one step; ``loss`` is that of the step's batch."""

    step: int
    seconds: float
    loss: float
    quantised: bool


def train_codec(
    model: nn.Module,
    waves: Sequence[np.ndarray],
    sample_rate: int,
    settings: TrainingSettings,
    *,
    on_step: Callable[[TrainingProgress, Callable[[], nn.Module]], None] | None = None,
) -> list[float]:
    """Train ``model`` in place; at the end it holds the averaged weights, in evaluation mode.

    A model whose codebooks hold something already is trained on as it is, without initialisation and warm-up.

    Args:
        model: ``SeanetCodec``, or transformers' ``DacModel``.
        waves: Speech, float32 in [-1, 1], each of shape (T,).
        sample_rate: Of the waves and the model, in Hz.
        settings: How to train.
        on_step: Called after each step, with a function that gives a copy of the averaged network.

    Returns:
        The loss of every step.

    Raises:
        TrainingDivergedError: The loss is not finite; the model then holds the last averaged weights.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    draw = _CropDrawer([wave for wave in waves if wave.size > settings.crop_samples], settings, rng)
    plain = copy.deepcopy(model)
    normalised = _normalise_weights(model)
    quantizer = trainable_quantizer(model, seed=settings.seed)
    loss_function = ReconstructionLoss(sample_rate)
    warmup_steps = 0 if quantizer.is_initialised() else settings.warmup_steps
    if warmup_steps:
        _initialise_from_data(model, draw())
    body = [*model.encoder.parameters(), *model.decoder.parameters()]
    optimizer = torch.optim.AdamW(body, betas=(0.8, 0.99), weight_decay=1e-4)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    losses: list[float] = []
    started = time.monotonic()
    for step in range(settings.steps):
        elapsed = time.monotonic() - started
        if elapsed > settings.seconds:
            break
        if step == warmup_steps and not quantizer.is_initialised():
            quantizer.initialise(_latents(model, draw, vectors=24_000))
            average.load_state_dict(model.state_dict())
        quantised = step >= warmup_steps
        factor = _rate_factor(step, max(step / settings.steps, elapsed / settings.seconds))
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        wave = draw()
        with torch.set_grad_enabled(not (quantised and quantizer.freezes_encoder)):
            latents = model.encoder(wave)
        loss = torch.zeros(())
        if quantised:
            latents, commitment = quantizer(latents)
            loss = settings.commitment_weight * commitment
        wave_loss, spectral_loss = loss_function(model.decoder(latents), wave)
        loss = loss + WAVE_WEIGHT * wave_loss + spectral_loss
        if not torch.isfinite(loss):
            model.load_state_dict(average.state_dict())
            _fold_weights(model, normalised)
            raise TrainingDivergedError(f"the loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)  # None also keeps a frozen encoder from weight decay
        loss.backward()
        nn.utils.clip_grad_norm_(body, 1.0)
        optimizer.step()
        _update_average(average, model, min(settings.averaging, (step + 1) / (step + 10)))
        losses.append(loss.item())
        if on_step is not None:
            on_step(
                TrainingProgress(step + 1, time.monotonic() - started, losses[-1], quantised),
                lambda: _folded(average, plain, normalised),
            )
    model.load_state_dict(average.state_dict())
    _fold_weights(model, normalised)
    model.eval()
    return losses


def _normalise_weights(model: nn.Module) -> list[str]:
    """Train with weight norm, which the networks do not keep; return the layers it is to be folded into.

    Without it ``DacModel`` diverged at a rate of 1e-3 within 900 steps.
    """
    names = [
        f"{part}.{name}"
        for part in ("encoder", "decoder")
        for name, module in getattr(model, part).named_modules()
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)
    ]
    for name in names:
        nn.utils.parametrizations.weight_norm(model.get_submodule(name))
    return names


def _fold_weights(model: nn.Module, names: Sequence[str]) -> None:
    for name in names:
        nn.utils.parametrize.remove_parametrizations(model.get_submodule(name), "weight")


def _folded(model: nn.Module, plain: nn.Module, names: Sequence[str]) -> nn.Module:
    """Copy ``model`` into a network like ``plain``: folding a copy in place would also unmake the original."""
    prefixes = tuple(f"{name}.parametrizations." for name in names)
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(prefixes)}
    state |= {f"{name}.weight": model.get_submodule(name).weight for name in names}
    copied = copy.deepcopy(plain)
    copied.load_state_dict(state)
    return copied.eval()


class _CropDrawer:
    """Draws batches of crops with a random tilt of the spectrum, a faint noise floor and a random level.

    Loud noise, echoes and mixed voices held the loss up: within an hour so small a network learns speech or what is
    between it.
    """

    def __init__(self, waves: list[np.ndarray], settings: TrainingSettings, rng: np.random.Generator) -> None:
        self._waves = waves
        self._samples = settings.crop_samples
        self._batch_size = settings.batch_size
        self._rng = rng
        lengths = np.array([wave.size for wave in waves], dtype=np.float64)
        self._weights = lengths / lengths.sum()

    def __call__(self) -> torch.Tensor:
        """Draw a batch, shape (B, 1, T)."""
        return torch.from_numpy(np.stack([self._vary(self._crop()) for _ in range(self._batch_size)]))[
            :, None
        ]

    def _crop(self) -> np.ndarray:
        for _ in range(4):  # a pause is redrawn, but not for ever: codecs must do silence, too
            wave = self._waves[self._rng.choice(len(self._waves), p=self._weights)]
            start = self._rng.integers(0, wave.size - self._samples)
            crop = wave[start : start + self._samples]
            if np.sqrt(np.mean(np.square(crop))) > 0.02:
                break
        return crop.astype(np.float32)

    def _vary(self, wave: np.ndarray) -> np.ndarray:
        rng = self._rng
        if rng.random() < 0.5:
            padded = 2 * wave.size
            response = _random_equaliser(padded // 2 + 1, rng)
            wave = np.fft.irfft(np.fft.rfft(wave, padded) * response)[: wave.size]
        level = np.sqrt(np.mean(np.square(wave))) + 1e-5
        wave = wave + rng.standard_normal(wave.size) * level * 10 ** rng.uniform(-3.5, -2.2)
        peak = max(float(np.abs(wave).max()), 0.02)
        return (wave * (10 ** rng.uniform(-0.8, -0.05) / peak)).astype(np.float32)


def _random_equaliser(bins: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response, shape (bins,), of up to about 12 dB."""
    knots = np.cumsum(rng.normal(0.0, 3.0, 8))
    decibels = np.interp(np.linspace(0, 7, bins) ** 0.5 * 7**0.5, np.arange(8), knots - knots.mean())
    return 10 ** (decibels / 20)


def _rate_factor(step: int, progress: float) -> float:
    """Linear rise over 50 steps, then half a cosine down to a twentieth."""
    return min(1.0, (step + 1) / 50) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


@torch.no_grad()
def _initialise_from_data(model: nn.Module, wave: torch.Tensor) -> None:
    """Give every convolution centred channels and unit deviation over real speech.

    Deep stacks do not move for long otherwise; without the centring, what a channel does over time drowns, layer by
    layer, in the means that the activations leave. One scale serves all channels of a layer: a scale of its own
    would turn a channel that answers to next to nothing into an amplifier of noise.
    """

    def rescale(module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        mean = output.mean(dim=(0, 2))
        centred = output - mean[:, None]
        deviation = centred.std().clamp_min(1e-6) / (0.1 if module is last else 1.0)
        weight = module.parametrizations.weight.original0
        weight.div_(deviation)
        if module.bias is not None:
            module.bias.copy_(-mean / deviation)
        return centred / deviation

    convolutions = [
        module
        for part in (model.encoder, model.decoder)
        for module in part.modules()
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d)
    ]
    last = convolutions[-1]
    hooks = []
    for module in convolutions:
        if module.bias is not None:
            module.bias.zero_()
        hooks.append(module.register_forward_hook(rescale))
    model.decoder(model.encoder(wave))
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def _latents(model: nn.Module, draw: Callable[[], torch.Tensor], *, vectors: int) -> torch.Tensor:
    """Encode fresh crops until there are ``vectors`` latents, shape (N, D)."""
    found: list[torch.Tensor] = []
    while sum(part.shape[0] for part in found) < vectors:
        latents = model.encoder(draw())
        found.append(latents.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for mean, parameter in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)
    for kept, buffer in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(buffer)
