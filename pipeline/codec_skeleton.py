"""A package to start a codec from: an adapter that already works, its test, its weights, its entry point."""

import keyword
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from string import Template

from codecfake.codec_adapters.contract_card import id_problem
from codecfake.codec_adapters.registry import ENTRY_POINT_GROUP, built_in_codecs, external_codecs
from codecfake.manifests.atomic import temporary_sibling
from codecfake.manifests.errors import CodecfakeError

PYPROJECT = Template("""\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "codecfake-$slug"
version = "0.1.0"
description = "The codec $id for codecfake."
requires-python = ">=3.11"
dependencies = ["codecfake"]

[project.entry-points."$group"]
$id = "$module:$name"

[tool.setuptools]
py-modules = ["$module"]
""")

ADAPTER = Template('''\
"""The codec $id: 8-bit quantisation of every sample, to be replaced by yours."""

from codecfake.codec_adapters import CodecAdapter, CodecCard
from codecfake.codec_adapters.checkpoints import official_file, read_safetensors


class $name(CodecAdapter):
    """Four samples are a frame, and each of them is one code."""

    card = CodecCard(
        id="$id",
        name="$id-16khz-128kbps",
        title="8-bit samples at 16 kHz",
        paper="none",
        sample_rate=16_000,
        hop_length=4,
        codebooks=4,
        codebook_size=256,
        padding="zeros to whole frames; each sample stands for itself",
        batches="right padding exact",
        context_seconds=0.0,
        code_licence="MIT",
        weights_licence="MIT",
        training_data="none",
        leakage="none",
    )

    def load(self, checkpoint, network=None):
        """Read the codewords; a network is built here, filled strictly, and set to eval()."""
        tensors = read_safetensors(official_file(checkpoint, "$id.safetensors"))
        self.codewords = tensors["codewords"].to(self.device)

    def load_random(self, seed=0):
        """Make the weights up, for `codecfake codecs check $id --random-weights`."""
        import torch

        self.codewords = torch.linspace(-1, 1, self.card.codebook_size, device=self.device)

    def codes(self, waves):
        """Encode and quantise: (B, T) in, T a whole number of frames; (B, codebooks, frames) out."""
        import torch

        middles = (self.codewords[1:] + self.codewords[:-1]) / 2
        return torch.bucketize(waves, middles).unflatten(1, (-1, self.card.hop_length)).transpose(1, 2)

    def reconstruct(self, waves):
        """Encode, quantise and decode: (B, T) in, (B, at least T) out, aligned to the sample."""
        return self.codewords[self.codes(waves).transpose(1, 2).flatten(1)]
''')

TEST = Template('''\
"""$id keeps the contract of codecfake."""

from codecfake.codec_adapters.contract import check_adapter
from $module import $name


def test_the_contract_is_kept():
    adapter = $name()
    adapter.load_random()
    failed = [result for result in check_adapter(adapter, trained=True) if result.ok is False]
    assert not failed
''')


def write_skeleton(codec_id: str, folder: Path) -> list[Path]:
    """Write a package with an adapter that works as it is.

    Args:
        codec_id: Id of the codec.
        folder: Folder to make.

    Returns:
        The files written.

    Raises:
        CodecfakeError: If the id is unusable or taken, or the folder is there.
    """
    module = re.sub(r"\W", "_", codec_id.lower())
    _refuse_id(codec_id)
    if folder.exists():
        raise CodecfakeError(
            f"{folder} is there already", next_step=f"codecfake codecs new {codec_id} --out ANOTHER-FOLDER"
        )
    _refuse_module(codec_id, module)
    names = {
        "id": codec_id,
        "slug": codec_id.lower(),
        "module": module,
        "name": "".join(part[:1].upper() + part[1:] for part in codec_id.split("-")),
        "group": ENTRY_POINT_GROUP,
    }
    texts = {"pyproject.toml": PYPROJECT, f"{module}.py": ADAPTER, f"test_{module}.py": TEST}
    draft = temporary_sibling(folder)
    try:
        (draft / "weights").mkdir(parents=True)
        for name, template in texts.items():
            (draft / name).write_text(template.substitute(names), encoding="utf-8")
        _write_codewords(draft / "weights" / f"{codec_id}.safetensors")
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [*(folder / name for name in texts), folder / "weights" / f"{codec_id}.safetensors"]


def _refuse_id(codec_id: str) -> None:
    if problem := id_problem(codec_id):
        raise CodecfakeError(problem, next_step="codecfake codecs new my-codec")
    taken = {
        *built_in_codecs(),
        *external_codecs(),
        *(codec.card.name for codec in built_in_codecs().values()),
    }
    if codec_id.lower() in {name.lower() for name in taken}:
        raise CodecfakeError(f"the id {codec_id!r} is taken", next_step="codecfake codecs list shows all ids")


def _refuse_module(codec_id: str, module: str) -> None:
    if not module.isidentifier() or keyword.iskeyword(module) or find_spec(module):
        raise CodecfakeError(
            f"the adapter of {codec_id!r} would be the module {module!r}, which Python or another package has, "
            "or cannot have",
            next_step=f"codecfake codecs new my-{codec_id.lower()}",
        )


def _write_codewords(path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"codewords": np.linspace(-1, 1, 256, dtype=np.float32)}, path)
