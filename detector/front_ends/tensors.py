"""Reading an official checkpoint: the tensors that are needed, the others by a stated rule left in the file."""

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from codecfake.detector.front_ends.checkpoints import download_command
from codecfake.detector.front_ends.encoders import LAYER, Encoder
from codecfake.manifests.errors import CodecfakeError

NOT_NEEDED = re.compile(
    r"quantizer\.|project_hid\.|project_q\.|lm_head\.|masked_spec_embed$|encoder\.layer_norm\.|encoder\.layers\.(\d+)\."
)
"""Tensors of an official file that no hidden state needs: heads of the pre-training, the mask that only training
uses, the norm that ends the full network, and (by their number) the layers above."""

RENAMED = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}
"""The two factors of the positional convolution's weight, as older releases of torch name them."""


def load_weights(network: nn.Module, path: Path, encoder: Encoder) -> None:
    """Fill a network with the tensors that it needs; what the full network has beyond is left in the file.

    Args:
        network: From `Encoder.build`, on the meta device or not.
        path: The official file, safetensors or a zipped state dict of torch; its bytes stay data.
        encoder: Which one.

    Raises:
        CodecfakeError: If a tensor is missing, has another shape, or is none that the full network has.
    """
    wanted = network.state_dict()
    found, strange = {}, []
    for name, tensor in _read(path):
        ours = name.removeprefix(encoder.prefix)
        for old, new in RENAMED.items():
            ours = ours.replace(old, new)
        if ours in wanted:
            found[ours] = tensor()
        elif (match := NOT_NEEDED.match(ours)) is None or (match[1] and int(match[1]) < LAYER):
            strange.append(name)
    wrong = [name for name, tensor in found.items() if tensor.shape != wanted[name].shape]
    for problem, names in (
        ("lacks", sorted(wanted.keys() - found.keys())),
        ("holds in another shape", wrong),
        ("holds beside what the network has", strange),
    ):
        if names:
            raise CodecfakeError(
                f"{path} {problem} {len(names)} tensors, such as {names[0]}",
                cause=f"it is not {encoder.repository}, or was saved by a program that names tensors otherwise",
                next_step=f"{download_command(encoder, 'FOLDER')}, then --frontend-config FOLDER",
            )
    network.load_state_dict(found, assign=True)


def _read(path: Path) -> Iterator[tuple[str, Callable[[], torch.Tensor]]]:
    """Yield the name of every tensor, and a function that reads it as float32."""
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118, it is no dict
                    yield name, lambda name=name: _owned(file.get_tensor(name))
            return
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        if not isinstance(state, dict) or not all(
            isinstance(value, torch.Tensor) for value in state.values()
        ):
            raise ValueError("it holds more than named tensors")
    except Exception as error:
        # Whatever a damaged or malicious file makes of the restricted readers.
        raise CodecfakeError(
            f"{path} is no state dict: {(str(error) or type(error).__name__).splitlines()[0]}",
            cause="the file is damaged, or holds more than tensors; nothing in it was run",
        ) from error
    for name, tensor in state.items():
        yield name, lambda tensor=tensor: _owned(tensor)


def _owned(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor out of the mapped file, where its alignment would change the last bits of matrix products."""
    return tensor.to(torch.float32, copy=True)
