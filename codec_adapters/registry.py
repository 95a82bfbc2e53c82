"""Finding a codec adapter by its id: those of this package, and those that other packages bring.

Another package registers a class under the entry-point group ``codecfake.codecs``, named by its card's id.
Such a class is imported only when it is asked for by name.
"""

import difflib
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from codecfake.codec_adapters.base import CodecAdapter
from codecfake.codec_adapters.card import CodecCard
from codecfake.codec_adapters.errors import CodecError

ENTRY_POINT_GROUP = "codecfake.codecs"

_built_in: dict[str, type[CodecAdapter]] = {}


def register(*cards: CodecCard) -> Callable[[type[CodecAdapter]], type[CodecAdapter]]:
    """Class decorator that makes a family's adapter known once per card, each under the card's id.

    Raises:
        CodecError: If an id is taken.
    """

    def register_family(family: type[CodecAdapter]) -> type[CodecAdapter]:
        for card in cards:
            if card.id in _built_in:
                raise CodecError(
                    f"codec id {card.id!r} is registered twice: {_built_in[card.id]} and {family}"
                )
            names = {"card": card, "__module__": family.__module__, "__doc__": family.__doc__}
            _built_in[card.id] = type(f"{family.__name__}[{card.id}]", (family,), names)
        return family

    return register_family


@cache
def built_in_codecs() -> dict[str, type[CodecAdapter]]:
    """The adapters of this package by id, in the order of their ids."""
    from codecfake.codec_adapters import codecs

    for module in pkgutil.iter_modules(codecs.__path__):
        import_module(f"{codecs.__name__}.{module.name}")
    return dict(sorted(_built_in.items()))


def external_codecs() -> dict[str, EntryPoint]:
    """The adapters of other installed packages by id, not yet imported; those of this package come first."""
    return {
        point.name: point
        for point in entry_points(group=ENTRY_POINT_GROUP)
        if point.name not in built_in_codecs()
    }


def codec_ids() -> list[str]:
    """Every id that ``find_codec`` knows."""
    return sorted(built_in_codecs().keys() | external_codecs().keys())


def find_codec(codec_id: str) -> type[CodecAdapter]:
    """Look an adapter class up by the id, or the configuration name, of its card.

    Raises:
        CodecError: If there is none (close matches are named), or an outside package's class cannot be
            imported or is no adapter.
    """
    for known_id, adapter in built_in_codecs().items():
        if codec_id in (known_id, adapter.card.name):
            return adapter
    point = external_codecs().get(codec_id)
    if point is None:
        raise CodecError(_unknown(codec_id))
    if rivals := [
        other.value for other in entry_points(group=ENTRY_POINT_GROUP, name=codec_id) if other != point
    ]:
        raise CodecError(
            f"codec {codec_id!r} comes from {point.value} and from {', '.join(rivals)}; remove one"
        )
    try:
        adapter = point.load()
    except (Exception, SystemExit) as error:
        raise CodecError(f"codec {codec_id!r}: importing {point.value} failed: {error!r}") from error
    is_adapter = isinstance(adapter, type) and issubclass(adapter, CodecAdapter)
    if not is_adapter or getattr(getattr(adapter, "card", None), "id", None) != codec_id:
        raise CodecError(
            f"codec {codec_id!r}: {point.value} is no CodecAdapter whose card has the id {codec_id!r}"
        )
    return adapter


def _unknown(codec_id: str) -> str:
    names = codec_ids()
    names += [adapter.card.name for adapter in built_in_codecs().values()]
    close = difflib.get_close_matches(codec_id, names, cutoff=0.4) or difflib.get_close_matches(
        codec_id.upper(), names, cutoff=0.4
    )
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
    return f"there is no codec {codec_id!r}; {hint}"
