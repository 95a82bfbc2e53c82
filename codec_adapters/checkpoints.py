"""Reading a safetensors checkpoint into a network, strictly."""

from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.codec_adapters.base import CodecError

if TYPE_CHECKING:
    from torch import nn


def load_strictly(network: "nn.Module", checkpoint: Path, codec_id: str) -> None:
    """Load every tensor of ``checkpoint`` into ``network``; nothing may be missing or left over.

    Half-precision tensors are widened to the network's own type.

    Raises:
        CodecError: If the file is no safetensors file, or a key is missing, unexpected or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(checkpoint)
    except (OSError, SafetensorError) as error:
        raise CodecError(f"{codec_id}: {checkpoint} is no readable safetensors file ({error})") from error
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CodecError(f"{codec_id}: {checkpoint} does not fit the network: {error}") from error
