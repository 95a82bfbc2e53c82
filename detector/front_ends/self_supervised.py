"""Front ends on a frozen self-supervised encoder: the hidden state after its fifth transformer layer.

Shape legend: B batch, T samples, D features, F frames.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from codecfake.detector.front_ends.checkpoints import find_weights
from codecfake.detector.front_ends.cpu_kernels import use_cpu_kernels
from codecfake.detector.front_ends.encoders import FEATURES, FRAMES, TINY, Encoder
from codecfake.detector.front_ends.tensors import load_weights
from codecfake.manifests.errors import CodecfakeError

UTTERANCES_AT_ONCE = {"cpu": 4, "cuda": 32}
"""Larger batches are taken apart: the first convolution alone makes 26 MB of every utterance."""


class SelfSupervisedFrontEnd(nn.Module):
    """Turn waves at 16 kHz into the hidden states of a frozen encoder; nothing in it is trained.

    On a CPU everything is float32, and equals in every bit what the full network gives as ``hidden_states[5]`` for
    the same batch of at most four. (Of WavLM the full network's own last bits depend on the size of the batch: one
    utterance and four differ by 1.4e-6 standard deviations.) With `use_cpu_kernels`, which
    `build_self_supervised` applies to weights that are not the tiny ones, it agrees within 2e-5 standard deviations.

    On a GPU that has bfloat16 the matrix products and convolutions use it, while the normalisation of the waves, all
    norms, the softmax and the residual stream stay float32.

    Args:
        encoder: From `Encoder.build`, cut after the layer that is wanted.
        weights_sha256: Digest of its weights.
        projection: Shape (1024, hidden size), for encoders with fewer than 1,024 features.
    """

    output_shape = (FEATURES, FRAMES)
    """Features and frames of 64,600 samples."""

    def __init__(
        self, encoder: nn.Module, weights_sha256: str, projection: torch.Tensor | None = None
    ) -> None:
        super().__init__()
        # Not registered as a part: its parameters are nobody's to train, save or synchronise, and it stays in
        # evaluation mode. They keep the flag that they require gradients, by which torch chooses how a linear layer
        # multiplies a transposed batch: without it WavLM's last bits would not be those of the full network.
        object.__setattr__(self, "encoder", encoder.eval())
        self.weights_sha256 = weights_sha256
        self.mixed_precision = True
        self.register_buffer("projection", projection, persistent=False)
        encoder.feature_projection.register_forward_hook(_start_in_float32)

    @property
    def precision(self) -> str:
        """What it computes in, where it is now."""
        uses_bfloat16 = self._uses_bfloat16(next(self.encoder.parameters()).device)
        return "bfloat16, float32 norms and sums" if uses_bfloat16 else "float32"

    def _apply(self, *args: Any, **kwargs: Any) -> "SelfSupervisedFrontEnd":
        """Move the encoder too, wherever the front end is moved."""
        super()._apply(*args, **kwargs)
        self.encoder._apply(*args, **kwargs)
        return self

    @torch.no_grad()
    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """Compute the features of waves.

        Args:
            waves: Mono at 16 kHz, shape (B, T), T = 64,600 for 201 frames.

        Returns:
            Shape (B, 1, 1024, F), float32.
        """
        device = waves.device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self._uses_bfloat16(device)):
            parts = waves.split(UTTERANCES_AT_ONCE.get(device.type, 32))
            hidden = torch.cat([self.encoder(normalise_waves(part)).last_hidden_state for part in parts])
        if self.projection is not None:
            with torch.autocast(device.type, enabled=False):
                hidden = hidden @ self.projection.T
        return hidden.transpose(1, 2).unsqueeze(1)

    def _uses_bfloat16(self, device: torch.device) -> bool:
        if not self.mixed_precision or device.type != "cuda":
            return False
        return torch.cuda.is_bf16_supported(including_emulation=False)


def _start_in_float32(
    _module: nn.Module, _inputs: tuple, outputs: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Begin the residual stream in float32: what the layers add to it in bfloat16 is summed in float32."""
    projected, normalised = outputs
    return projected.float(), normalised


def normalise_waves(waves: torch.Tensor) -> torch.Tensor:
    """Bring every utterance to zero mean and unit variance, as ``Wav2Vec2FeatureExtractor`` does.

    On a CPU its own function does it, so that every bit is what the authors' script fed to the encoder; elsewhere
    the same formula in torch, which differs in the last bits of the two sums.

    Args:
        waves: Shape (B, T).

    Returns:
        Shape (B, T), float32.
    """
    waves = waves.float()
    if waves.device.type == "cpu":
        from transformers import Wav2Vec2FeatureExtractor

        rows = Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm(list(waves.numpy()), attention_mask=None)
        return torch.stack([torch.from_numpy(row) for row in rows])
    variance, mean = torch.var_mean(waves, dim=1, correction=0, keepdim=True)
    return (waves - mean) / torch.sqrt(variance + 1e-7)


def build_self_supervised(
    encoder: Encoder, weights: str, device: str | torch.device, expected_sha256: str | None
) -> SelfSupervisedFrontEnd:
    """Build a front end with its weights.

    Args:
        encoder: Which one.
        weights: "official", "tiny" or the path of a folder with the official files.
        device: Where it computes.
        expected_sha256: Digest that the weights must have; None takes any.

    Raises:
        CodecfakeError: If the weights are absent, damaged or others.
    """
    if weights == TINY:
        from codecfake.detector.front_ends.tiny import build_tiny

        network, projection, digest = build_tiny(encoder)
    else:
        path, digest = find_weights(encoder, weights)
        with torch.device("meta"):
            network = encoder.build()
        load_weights(network, path, encoder)
        projection = None
    if expected_sha256 not in (None, digest):
        raise CodecfakeError(
            f"the weights of the front end {encoder.name} ({weights}) have sha256 {digest}, "
            f"expected {expected_sha256}",
            cause="the detector or the cache was made with other weights",
            next_step="give the folder of those weights",
        )
    fold_weight_norm(network)
    if torch.device(device).type == "cpu" and weights != TINY:
        use_cpu_kernels(network)
    return SelfSupervisedFrontEnd(network, digest, projection).to(device)


def fold_weight_norm(network: nn.Module) -> None:
    """Compute the weight of the positional convolution once, as it would be computed in every run."""
    convolution = network.encoder.pos_conv_embed.conv
    parametrize.remove_parametrizations(convolution, "weight", leave_parametrized=True)
