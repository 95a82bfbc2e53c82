"""X-Codec 16 kHz at 4 kbps (arXiv 2408.17175), through the network of `transformers`."""

from codecfake.codec_adapters import CodecCard, OfficialCheckpoint, WeightsFile
from codecfake.codec_adapters.transformers_adapter import TransformersAdapter

FILES = (WeightsFile(path="model.safetensors", megabytes=710),)


class XCodec(TransformersAdapter):
    """HuBERT attends to, and is normalised over, the whole utterance: lengths must not be mixed."""

    card = CodecCard(
        id="xcodec",
        name="xcodec-16khz-4kbps",
        title="X-Codec 16 kHz, 4 kbps",
        paper="Ye et al. 2024, arXiv 2408.17175",
        sample_rate=16_000,
        hop_length=320,
        codebooks=8,
        codebook_size=1024,
        padding="zeros to whole frames, which every frame sees",
        context_seconds=2.0,
        code_licence="Apache-2.0 (transformers)",
        weights_licence="not confirmed; its hub page says it",
        training_data="LibriSpeech",
        leakage="none stated",
        checkpoint=OfficialCheckpoint(
            name="xcodec_hubert_librispeech",
            repository="hf-audio/xcodec-hubert-librispeech",
            files=FILES,
        ),
        network={"model_type": "xcodec"},
    )

    def codes(self, waves):
        return self.network.encode(waves[:, None], bandwidth=4).audio_codes
