"""The network of a codec, with random or real weights."""

from codecfake.codec_adapters import CodecAdapter, find_codec
from codecfake.pipeline.weights import find_checkpoint

RANDOM = "random"


def load_network(codec: str, weights: str, device: str, *, as_published: bool = False) -> CodecAdapter:
    """Build a codec's adapter, ready to run.

    Args:
        codec: Codec id.
        weights: "random" for the published sizes with random weights, else as for ``find_checkpoint``.
        device: As torch names it.
        as_published: Run the layers as the codec's authors do, without our layout for CPUs.
    """
    adapter = find_codec(codec)(device)
    if as_published:
        adapter.lay_out_for_cpu = lambda: None
    if weights == RANDOM:
        adapter.load_random()
    else:
        checkpoint = find_checkpoint(adapter.card, weights)
        adapter.load(checkpoint.path, checkpoint.network)
    return adapter
