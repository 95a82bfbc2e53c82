"""The two self-supervised encoders of the paper's detectors: where they come from and how they are built.

XLS-R-300M (Babu et al., Interspeech 2022) and WavLM-large (Chen et al., IEEE JSTSP 2022) share the sizes of
wav2vec 2.0 large: seven convolutions with layer norm that make one frame of every 320 samples, a positional
convolution, and 24 transformer layers whose norms come first ("stable layer norm").
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

LAYER = 5
"""Hidden state that the back ends see: the output of the fifth transformer layer, which is ``hidden_states[5]`` in
transformers, where index 0 is the input of the first. The paper calls it "fifth hidden states"."""

FEATURES = 1024
FRAMES = 201
"""Of 64,600 samples."""

OFFICIAL, TINY = "official", "tiny"
"""Values of ``weights`` beside a path."""

_LARGE = {
    "hidden_size": FEATURES,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "feat_extract_norm": "layer",
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "do_stable_layer_norm": True,
}


@dataclass(frozen=True)
class Encoder:
    """One encoder, as its publisher released it."""

    name: str
    class_name: str
    """Of transformers, without "Model" and "Config"."""
    repository: str
    """On the Hugging Face hub."""
    revision: str
    filename: str
    sha256: str
    prefix: str
    """Before the tensor names of the encoder, where the file also holds heads."""
    config: "Mapping[str, Any]" = field(repr=False)
    """What decides the shapes and the arithmetic, by the names of transformers."""

    def config_class(self) -> type:
        """The class of its configuration in transformers."""
        import transformers

        return getattr(transformers, f"{self.class_name}Config")

    def build(self, *, layers: int = LAYER, **sizes: Any) -> "nn.Module":
        """Build the first layers with random weights; nothing in it is random when it runs.

        The last hidden state is the residual stream after the last layer. The norm that ends the full network comes
        after its last layer, so a network that is cut must not apply it: it is an identity here.

        Args:
            layers: Transformer layers.
            **sizes: Settings that replace those of ``config``.
        """
        import transformers
        from torch import nn

        config = self.config_class()(
            **{**self.config, **sizes},
            num_hidden_layers=layers,
            # Masking is for training; without it the model has no mask embedding.
            mask_time_prob=0.0,
            mask_feature_prob=0.0,
            layerdrop=0.0,
        )
        model = getattr(transformers, f"{self.class_name}Model")(config)
        model.encoder.layer_norm = nn.Identity()
        return model.eval()


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Encoder(
            name="xls-r-300m",
            class_name="Wav2Vec2",
            repository="facebook/wav2vec2-xls-r-300m",
            revision="1a640f32ac3e39899438a2931f9924c02f080a54",
            filename="pytorch_model.bin",
            sha256="d5e490574712ad0a6736923b9ed11d4cd51c78609c36205f704fc4e87b11d2e0",
            prefix="wav2vec2.",
            config=MappingProxyType({**_LARGE, "conv_bias": True}),
        ),
        Encoder(
            name="wavlm-large",
            class_name="WavLM",
            repository="microsoft/wavlm-large",
            revision="c1423ed94bb01d80a3f5ce5bc39f6026a0f4828c",
            filename="pytorch_model.bin",
            sha256="fdee460e529396ddb2f8c8e8ce0ad74cfb747b726bc6f612e666c7c1e1963c9d",
            prefix="wavlm.",
            config=MappingProxyType(
                {**_LARGE, "conv_bias": False, "num_buckets": 320, "max_bucket_distance": 800}
            ),
        ),
    )
}
