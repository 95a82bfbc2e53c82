"""The second backend of a codec: the package that its authors published, where it can be installed and imported."""

import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version

from codecfake.codec_adapters.base import CodecAdapter
from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.registry import built_in_codecs


@dataclass(frozen=True, kw_only=True)
class UpstreamPackage:
    """A package of a codec's authors, and how its network becomes an adapter."""

    name: str
    """Of the distribution, as pip knows it."""
    module: str = ""
    """What is imported."""
    extra: str = ""
    """Extra of codecfake that installs it."""
    adapter: str = ""
    """Class that runs its network, ``module:class``."""
    obstacle: str = ""
    """Why it cannot be installed beside codecfake, where that is so."""


_FUNCODEC = UpstreamPackage(
    name="funcodec",
    obstacle=(
        "cannot be installed: it pins editdistance 0.5.2, which does not compile on Python 3.11, and "
        "typeguard 2.13.3"
    ),
)

PACKAGES = {
    "audiodec": UpstreamPackage(
        name="audiodec",
        obstacle=(
            "cannot be installed: it is on no package index, and its repository holds none; its modules are "
            "called layers, models and utils"
        ),
    ),
    "dac": UpstreamPackage(
        name="descript-audio-codec",
        module="dac",
        extra="descript-audio-codec",
        adapter="codecfake.codec_adapters.upstream.dac:UpstreamDac",
    ),
    "encodec": UpstreamPackage(
        name="encodec",
        module="encodec",
        extra="encodec",
        adapter="codecfake.codec_adapters.upstream.encodec:UpstreamEnCodec",
    ),
    "freqcodec": _FUNCODEC,
    "funcodec": _FUNCODEC,
    "speechtokenizer": UpstreamPackage(
        name="speechtokenizer",
        module="speechtokenizer",
        extra="speechtokenizer",
        adapter="codecfake.codec_adapters.upstream.speechtokenizer:UpstreamSpeechTokenizer",
    ),
}
"""By the module of ``codecs`` that the codec's family is in."""


def upstream_package(codec_id: str) -> UpstreamPackage | None:
    """The package of a codec's authors; ``None`` where there is none, or where the codec is not built in."""
    codec = built_in_codecs().get(codec_id)
    return PACKAGES.get(codec.__module__.rpartition(".")[2]) if codec else None


def availability(package: UpstreamPackage) -> str:
    """Say why a package cannot be used here; nothing where it can.

    It is imported only if it is installed.
    """
    if package.obstacle:
        return package.obstacle
    try:
        distribution(package.name)
    except PackageNotFoundError:
        return f"not installed: pip install 'codecfake[{package.extra}]'"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(package.module)
    except Exception as error:
        lines = str(error).strip().splitlines()
        told = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
        return f"installed, but importing {package.module} fails with {told}{_torchaudio_advice(told)}"
    return ""


def upstream_adapter(codec: type[CodecAdapter]) -> type[CodecAdapter]:
    """Make the adapter that runs the authors' own network; card, lengths and batches stay as they are.

    Args:
        codec: Adapter of a codec that is built in.

    Raises:
        CodecError: If there is no such package, or it cannot be used here; the message says why.
    """
    card = codec.card
    package = upstream_package(card.id)
    if package is None:
        raise CodecError(
            f"{card.id} ({card.title}) has no package of its authors; leave --backend upstream out"
        )
    if reason := availability(package):
        raise CodecError(f"{card.id}: --backend upstream needs the package {package.name}, {reason}")
    module, _, name = package.adapter.partition(":")
    upstream = getattr(import_module(module), name)
    return type(f"{name}[{card.id}]", (upstream, codec), {"__module__": module, "__doc__": upstream.__doc__})


def _torchaudio_advice(told: str) -> str:
    """All three packages import torchaudio, whose releases go with one release of torch each."""
    if "torchaudio" not in told.lower():
        return ""
    try:
        installed = version("torchaudio")
    except PackageNotFoundError:
        return "; torchaudio is missing: pip install torchaudio"
    release = ".".join(installed.split(".")[:2])
    return (
        f"; torchaudio {installed} does not fit torch {version('torch')}: "
        f"pip install 'torch=={release}.*' 'torchaudio=={release}.*', both from one index"
    )
