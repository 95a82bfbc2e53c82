"""What a training hands over: ``<id>.safetensors`` and ``<id>.json``, as ``--weights FOLDER`` reads them."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.codec_adapters.checkpoints import Tensors, load_strictly
from codecfake.manifests.atomic import publish_json, published
from codecfake.manifests.digests import file_sha256
from codecfake.pipeline.codec_training.validation import Clip

if TYPE_CHECKING:
    from torch import nn

    from codecfake.codec_adapters.training.recipes import Recipe

CODES_MAY_CHANGE = 0.01
"""Share of codes that half precision may change before more of the network is stored in single precision."""
SMALL_BYTES = 3_000_000
"""A mini network ships inside the package, and may not be larger."""
FULL_PARTS = ((), ("encoder.",), ("encoder.", "quantizer."))
"""Parts stored in single precision, from none on."""
LARGEST_GAIN = 10.0
LEVEL_ROUNDS = 3


@dataclass(frozen=True)
class Stored:
    """A network as it is stored."""

    tensors: Tensors
    full_parts: tuple[str, ...]
    """Beginnings of the names of what is in single precision; the rest is in half precision."""
    codes_changed: float
    """Share of codes that differ from those of the network in single precision."""

    @property
    def bytes(self) -> int:
        """Size of the tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())


def codec_with(codec_id: str, network: "nn.Module", recipe: "Recipe") -> CodecAdapter:
    """Make a codec of a network that was trained here, on the network's own device."""
    codec = find_codec(codec_id)(str(next(network.parameters()).device))
    codec.working_level, codec.delay_samples = recipe.working_level, recipe.delay_samples
    return _replaced(codec, network)


def restore_level(codec: CodecAdapter, clips: Sequence[Clip]) -> float:
    """Fold a gain into the network's last layer, so that speech leaves as loud as it came; return it in dB.

    A loss on the wave makes a network that is unsure of the phase speak too softly.
    """
    import torch
    from torch import nn

    layers = [m for m in codec.network.decoder.modules() if isinstance(m, nn.Conv1d | nn.GroupNorm)]
    decibels = 0.0
    for _ in range(LEVEL_ROUNDS):  # several networks end in a tanh, so that one gain is not quite enough
        ratios = []
        for clip in clips:
            (decoded,) = codec.resynthesize([clip.wave], clip.sample_rate)
            if decoded.std() > 0:
                ratios.append(clip.wave.std() / decoded.std())
        gain = float(np.median(ratios).clip(1 / LARGEST_GAIN, LARGEST_GAIN)) if ratios else 1.0
        with torch.no_grad():
            for parameter in layers[-1].parameters():
                parameter.mul_(gain)
        decibels += 20 * math.log10(gain)
    return decibels


def choose_storage(codec: CodecAdapter, clips: Sequence[Clip], limit: int | None) -> Stored:
    """Choose how much of a network is stored in half precision, by what that does to the codes.

    Args:
        codec: With the network in single precision.
        clips: Speech to encode.
        limit: Bytes that the tensors may have.

    Returns:
        The smallest form that changes hardly a code; where the limit leaves none, the one within it, or the
        smallest, that changes fewest.
    """
    forms = [_stored(codec, clips, parts) for parts in FULL_PARTS]
    allowed = [form for form in forms if limit is None or form.bytes <= limit] or forms[:1]
    faithful = [form for form in allowed if form.codes_changed <= CODES_MAY_CHANGE]
    return faithful[0] if faithful else min(allowed, key=lambda form: form.codes_changed)


def codec_of(codec: CodecAdapter, stored: Stored, sizes: Mapping[str, Any]) -> CodecAdapter:
    """Make the codec that a reader of the stored form of ``codec`` gets."""
    network = codec.build(sizes)
    load_strictly(network, stored.tensors, f"{codec.card.id}: what was trained")
    return _replaced(codec, network.to(codec.device))


def publish(folder: Path, codec_id: str, stored: Stored, facts: Mapping[str, Any]) -> Path:
    """Write a network and its description; the description names the digest of the network."""
    from safetensors.torch import save

    path = folder / f"{codec_id}.safetensors"
    with published(path) as temporary:
        temporary.write_bytes(save(stored.tensors))  # save_file would let nobody else read it
    description = {"name": codec_id, "sha256": file_sha256(path), "bytes": path.stat().st_size, **facts}
    publish_json(path.with_suffix(".json"), description)
    return path


def _replaced(codec: CodecAdapter, network: "nn.Module") -> CodecAdapter:
    other = copy.copy(codec)
    other.network = network.eval().requires_grad_(False)
    return other


def _stored(codec: CodecAdapter, clips: Sequence[Clip], full_parts: tuple[str, ...]) -> Stored:
    tensors = {
        name: tensor.cpu().contiguous() if name.startswith(full_parts) else tensor.cpu().half().contiguous()
        for name, tensor in codec.network.state_dict().items()
    }
    read_back = copy.deepcopy(codec.network)
    read_back.load_state_dict(tensors)
    other = _replaced(codec, read_back)
    changed = total = 0
    for clip in clips:
        codes, found = _codes(codec, clip), _codes(other, clip)
        changed += int((codes != found).sum())
        total += codes.numel()
    return Stored(tensors, full_parts, changed / max(1, total))


def _codes(codec: CodecAdapter, clip: Clip) -> Any:
    import torch

    wave = codec.prepare(clip.wave, clip.sample_rate).wave
    with torch.inference_mode():
        return codec.codes(torch.from_numpy(wave)[None].to(codec.device))
