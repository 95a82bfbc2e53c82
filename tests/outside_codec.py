"""A codec that lives outside the package, as a user's would: mu-law at 8 kHz, found through its entry point."""

import os
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from codecfake.codec_adapters import CodecAdapter, CodecCard

ENTRY_POINTS = "[codecfake.codecs]\nX1 = outside_codec:MuLaw\n"
METADATA = "Metadata-Version: 2.1\nName: outside-codec\nVersion: 1.0\n"


class MuLaw(CodecAdapter):
    card = CodecCard(
        id="X1",
        name="mulaw-8khz",
        title="mu-law 8 kHz",
        paper="ITU-T G.711",
        sample_rate=8_000,
        hop_length=80,
        codebooks=1,
        codebook_size=256,
        padding="none needed: sample by sample",
        code_licence="MIT",
        weights_licence="none",
        training_data="none",
    )

    def load(self, checkpoint, network=None):
        from safetensors.torch import load_file

        self.mu = float(load_file(checkpoint)["mu"])

    def reconstruct(self, waves):
        import torch

        mu = torch.tensor(self.mu)
        compressed = waves.sign() * torch.log1p(mu * waves.abs().clamp(max=1)) / torch.log1p(mu)
        codes = torch.round((compressed + 1) / 2 * mu)
        expanded = codes / mu * 2 - 1
        return expanded.sign() * torch.expm1(expanded.abs() * torch.log1p(mu)) / mu


@dataclass(frozen=True)
class OutsideCodec:
    """Where the installed package and its weights are."""

    site: Path
    weights: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.site)}


def install(folder: Path) -> tuple[Path, Path]:
    """Lay out what ``pip install`` of an outside package would, and its weights.

    Returns:
        The folder to put on ``sys.path``, and the folder for ``--weights``.
    """
    import torch
    from safetensors.torch import save_file

    site, weights = folder / "site", folder / "weights"
    info = site / "outside_codec-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (info / "METADATA").write_text(METADATA)
    (site / "outside_codec.py").write_text(Path(__file__).read_text())
    weights.mkdir()
    save_file({"mu": torch.tensor(255.0)}, weights / "X1.safetensors")
    return site, weights


def lay_out(project: Path, site: Path) -> Path:
    """Lay out what ``pip install`` of the package in ``project`` would, as its pyproject.toml says.

    Returns:
        ``site``, to put on ``sys.path``.
    """
    description = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    name = description["project"]["name"].replace("-", "_")
    info = site / f"{name}-{description['project']['version']}.dist-info"
    info.mkdir(parents=True)
    points = description["project"]["entry-points"]["codecfake.codecs"]
    lines = [f"{codec} = {target}\n" for codec, target in points.items()]
    (info / "entry_points.txt").write_text("".join(["[codecfake.codecs]\n", *lines]))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    for module in description["tool"]["setuptools"]["py-modules"]:
        shutil.copy(project / f"{module}.py", site)
    return site


def slow_down(site: Path, seconds: float) -> None:
    """Make the installed codec take its time, so that there is a moment to stop it."""
    module = site / "outside_codec.py"
    begin = "    def reconstruct(self, waves):\n"
    module.write_text(
        module.read_text().replace(begin, f"{begin}        __import__('time').sleep({seconds})\n")
    )
