"""What a ``config.yaml`` of FunCodec says, and what of it the network here does."""

from collections.abc import Mapping
from typing import Any

MODULES = {
    "model": "encodec",
    "encoder": "encodec_seanet_encoder",
    "quantizer": "costume_quantizer",
    "decoder": "encodec_seanet_decoder",
    "input_size": 1,
}

HALF_DEFAULTS = {
    "n_filters": 32,
    "n_residual_layers": 1,
    "ratios": [8, 5, 4, 2],
    "activation": "ELU",
    "activation_params": {"alpha": 1.0},
    "norm": "weight_norm",
    "norm_params": {},
    "kernel_size": 7,
    "last_kernel_size": 7,
    "residual_kernel_size": 3,
    "causal": False,
    "pad_mode": "reflect",
    "true_skip": False,
    "compress": 2,
    "seq_model": "lstm",
    "seq_layer_num": 2,
    "res_seq": True,
    "add_snake_activation": False,
}
"""Settings of FunCodec's encoder and decoder, as its code has them where ``config.yaml`` is silent."""

DEFAULTS = {
    "encoder_conf": HALF_DEFAULTS | {"dimension": 128, "double_filters": True},
    "decoder_conf": HALF_DEFAULTS | {"half_filters": True, "final_activation": None},
    "quantizer_conf": {
        "codebook_size": 1024,
        "num_quantizers": 8,
        "codec_dim": None,
        "codec_range": None,
        "q0_ds_ratio": 1,
    },
    "model_conf": {
        "target_sample_hz": 24_000,
        "audio_normalize": True,
        "segment_dur": 1.0,
        "codec_domain": "time",
        "bypass_quantizer": False,
    },
}

WITHOUT_EFFECT = {
    "encoder_conf": {"dilation_base"},
    "decoder_conf": {"dilation_base", "trim_right_ratio", "final_activation_params"},
    "quantizer_conf": {
        "ema_decay",
        "kmeans_init",
        "sampling_rate",
        "quantize_dropout",
        "rand_num_quant",
        "use_ddp",
        "encoder_hop_length",
    },
}
"""Settings of training, and of what the published networks do not have: dilations, causal trimming, an activation."""


def audible_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give what the audio depends on, by dotted names, FunCodec's defaults filled in.

    Of ``model_conf`` only the settings that are known to matter are given: the others weigh losses.
    """
    audible = {name: settings.get(name) for name in MODULES}
    for section, defaults in DEFAULTS.items():
        stated = settings.get(section)
        if not isinstance(stated, Mapping):
            stated = {}
        if section == "model_conf":
            stated = {name: value for name, value in stated.items() if name in defaults}
        audible |= {
            f"{section}.{name}": value
            for name, value in {**defaults, **stated}.items()
            if name not in WITHOUT_EFFECT.get(section, ())
        }
    return audible


def supported_settings(network: Mapping[str, Any], sample_rate: int) -> dict[str, Any]:
    """Give what ``audible_settings`` must give where the published network is ``network``."""
    half = {"n_filters": network["filters"], "ratios": network["ratios"], "norm": "time_group_norm"}
    changed = {
        "encoder_conf": half | {"dimension": network["dimension"]},
        "decoder_conf": half,
        "quantizer_conf": {
            "codebook_size": network["codebook_size"],
            "num_quantizers": network["codebooks"],
        },
        "model_conf": {"target_sample_hz": sample_rate, "segment_dur": None},
    }
    return MODULES | {
        f"{section}.{name}": value
        for section, defaults in DEFAULTS.items()
        for name, value in (defaults | changed[section]).items()
    }
