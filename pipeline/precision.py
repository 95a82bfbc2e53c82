"""Whether a codec may run in less than float32: only where nearly every frame keeps its codes.

Measured on 43 clips of VCTK and AISHELL-3 with the mini networks of F01 to F07, which quantise with 4 to 32 codebooks
one after the other, so that a frame changes with any of them: bfloat16 kept all codes in 12 to 97 % of frames; TF32, in
which a GPU rounds what convolutions multiply to 11 bits, in 92 to 99.87 % (emulated on a CPU). With random weights of
full size, bfloat16 had changed 86 % of EnCodec's single codes and 10 % of DAC's. So bfloat16 is measured here and never
used, and TF32 has to prove itself for each network on each device.

Shape legend: K codebooks, F frames.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from codecfake.codec_adapters import CodecAdapter
from codecfake.codec_adapters.base import PreparedWave

if TYPE_CHECKING:
    import torch

LEAST_CODES_KEPT = 0.999
"""Least share of frames with all the codes of float32."""
LEAST_FRAMES = 1000
"""Fewer cannot show that share."""

Usable = Literal["float32", "tf32"]


@dataclass(frozen=True)
class Precision:
    """What a codec runs in, and why."""

    used: Usable
    codes_kept: float | None = None
    """Share of frames whose codes the lower precision kept; ``None`` where it was not measured."""
    frames: int = 0
    """Frames that were compared."""

    @property
    def in_words(self) -> str:
        """One line for the user."""
        if self.codes_kept is None:
            return self.used
        return f"{self.used}: tf32 keeps the codes of {100 * self.codes_kept:.2f} % of {self.frames:,} frames"


def settle_precision(adapter: CodecAdapter, wanted: Usable, waves: Sequence[PreparedWave]) -> Precision:
    """Measure whether a codec may run in the precision that is wanted.

    Args:
        adapter: With its weights loaded.
        wanted: "tf32", or "float32", for which nothing is measured.
        waves: Speech, prepared by the adapter; 20 s and more make ``LEAST_FRAMES``.

    Returns:
        "tf32" where at least ``LEAST_CODES_KEPT`` of at least ``LEAST_FRAMES`` frames keep all their codes. "float32"
        else, and where the device has no TF32 or the codec does not show its codes.
    """
    if wanted == "float32" or not has_tf32(adapter.device):
        return Precision("float32")
    try:
        kept, frames = _count_kept(adapter, waves, "tf32")
    except NotImplementedError:
        return Precision("float32")
    if not frames:
        return Precision("float32")
    share = kept / frames
    used = "tf32" if frames >= LEAST_FRAMES and share >= LEAST_CODES_KEPT else "float32"
    return Precision(used, share, frames)


def codes_kept(adapter: CodecAdapter, waves: Sequence[PreparedWave], how: Literal["tf32", "bf16"]) -> float:
    """Share of frames whose K codes in lower precision are all those of float32.

    Args:
        adapter: With its weights loaded.
        waves: Prepared by the adapter; each is run alone.
        how: "tf32" for convolutions alone, or "bf16" for all of the encoder that autocast lowers. The search for
            the nearest codeword stays float32 in both.

    Raises:
        NotImplementedError: If the adapter does not show its codes.
    """
    kept, frames = _count_kept(adapter, waves, how)
    return kept / frames


@contextmanager
def lowered(how: Usable) -> Iterator[None]:
    """Run what is launched in the block in a precision.

    With "tf32", convolutions and LSTMs, which cuDNN runs, may round to TF32. Matrix products, with which the nearest
    codewords are searched, never do. The settings are those of the process: launch nothing else meanwhile.
    """
    import torch

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32, matmul.allow_tf32 = how == "tf32", False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def has_tf32(device: str) -> bool:
    """Whether a device can round to TF32: NVIDIA's GPUs can from Ampere on."""
    import torch

    return torch.device(device).type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _count_kept(
    adapter: CodecAdapter, waves: Sequence[PreparedWave], how: Literal["tf32", "bf16"]
) -> tuple[int, int]:
    """Frames that keep their codes, and all frames."""
    import torch

    kept = frames = 0
    with torch.inference_mode():
        for item in waves:
            wave = torch.from_numpy(item.wave)[None].to(adapter.device)
            with lowered("float32"):
                expected = adapter.codes(wave)
            with lowered("tf32") if how == "tf32" else _encoder_in_bfloat16(adapter):
                found = adapter.codes(wave)
            kept += int((found == expected).all(dim=1).sum())
            frames += expected.shape[0] * expected.shape[2]
    return kept, frames


@contextmanager
def _encoder_in_bfloat16(adapter: CodecAdapter) -> Iterator[None]:
    """Autocast to bfloat16 everywhere but in the network's ``quantizer``."""
    import torch

    quantizer = getattr(getattr(adapter, "network", None), "quantizer", None)
    kind = torch.device(adapter.device).type
    search = nullcontext() if quantizer is None else _in_float32(quantizer, kind)
    with search, torch.autocast(kind, torch.bfloat16):
        yield


@contextmanager
def _in_float32(quantizer: "torch.nn.Module", device_type: str) -> Iterator[None]:
    """Take a quantiser out of autocast; networks here call its ``encode``, those of `transformers` call it itself."""
    import torch

    def without_autocast(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(latents: torch.Tensor, *arguments: Any, **named: Any) -> Any:
            with torch.autocast(device_type, enabled=False):
                return method(latents.float(), *arguments, **named)

        return run

    names = [name for name in ("encode", "forward") if hasattr(quantizer, name)]
    for name in names:
        setattr(quantizer, name, without_autocast(getattr(quantizer, name)))
    try:
        yield
    finally:
        for name in names:
            delattr(quantizer, name)
