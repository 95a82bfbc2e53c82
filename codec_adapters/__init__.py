"""Neural codecs as functions from waves to waves; nothing in here knows a corpus or a run folder."""

from codecfake.codec_adapters.base import CodecAdapter
from codecfake.codec_adapters.card import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.registry import codec_ids, find_codec, register

__all__ = [
    "CodecAdapter",
    "CodecCard",
    "CodecError",
    "OfficialCheckpoint",
    "WeightsFile",
    "codec_ids",
    "find_codec",
    "register",
]
