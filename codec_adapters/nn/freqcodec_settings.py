"""The sizes of a FreqCodec by its ``config.yaml``, and a refusal of what the network here does not do."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecfake.codec_adapters.card import CodecCard
from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.nn.funcodec_settings import DEFAULTS as TIME_DOMAIN
from codecfake.codec_adapters.nn.funcodec_settings import HALF_DEFAULTS, WITHOUT_EFFECT
from codecfake.codec_adapters.official_settings import refuse_other_settings

MODULES = {
    "model": "freq_codec",
    "encoder": "encodec_seanet_encoder_2d",
    "quantizer": "costume_quantizer",
    "decoder": "encodec_seanet_decoder_2d",
    "input_size": 3,
}

HALF_SIZES = {
    "filters": "n_filters",
    "residual_units": "n_residual_layers",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "dilation_base": "dilation_base",
    "compress": "compress",
    "lstm_layers": "seq_layer_num",
    "group_ratio": "conv_group_ratio",
}
"""FunCodec's names for the sizes of one half."""

DECODER_SIZES = HALF_SIZES | {"upsampling_group_ratio": "tr_conv_group_ratio"}

GROUP_RATIOS = {"group_ratio", "upsampling_group_ratio"}

HALF = HALF_DEFAULTS | {
    "ratios": [[4, 1], [4, 1], [4, 2], [4, 1]],
    "dilation_base": 2,
    "conv_group_ratio": -1,
}

DEFAULT_SETTINGS = {
    "encoder_conf": HALF | {"dimension": 128},
    "decoder_conf": HALF
    | {
        "channels": 1,
        "final_activation": None,
        "last_out_padding": [[0, 1], [0, 0]],
        "tr_conv_group_ratio": -1,
    },
    "quantizer_conf": TIME_DOMAIN["quantizer_conf"] | {"use_ddp": True},
    "model_conf": {
        "target_sample_hz": 24_000,
        "audio_normalize": False,
        "segment_dur": 1.0,
        "codec_domain": ["time", "time"],
        "domain_conf": {},
        "bypass_quantizer": False,
    },
}
"""FunCodec's settings where ``config.yaml`` is silent; of ``model_conf``, those that do not only weigh losses."""

IGNORED = {
    "encoder_conf": set(),
    "decoder_conf": {"trim_right_ratio", "final_activation_params"},
    "quantizer_conf": WITHOUT_EFFECT["quantizer_conf"] - {"use_ddp"},
}


def network_of(settings: Mapping[str, Any], card: CodecCard, where: Path) -> dict[str, Any]:
    """Give the sizes of the network that ``settings`` describe.

    Args:
        settings: Content of ``config.yaml``.
        card: The codec that it should be.
        where: The file, for messages.

    Returns:
        Sizes as ``FreqCodec`` takes them.

    Raises:
        CodecError: Naming the setting, if it is one that this network, or this codec, does not have.
    """
    sections = {name: _section(settings, name) for name in DEFAULT_SETTINGS}
    encoder, decoder = sections["encoder_conf"], sections["decoder_conf"]
    quantizer, transform = sections["quantizer_conf"], dict(sections["model_conf"].pop("domain_conf") or {})
    network = {
        "fft_length": transform.pop("n_fft", 512),
        "fft_hop": transform.pop("hop_length", 160),
        "ratios": encoder.pop("ratios"),
        "dimension": encoder.pop("dimension"),
        "codebooks": quantizer.pop("num_quantizers"),
        "codebook_size": quantizer.pop("codebook_size"),
        "encoder": _half_sizes(encoder, HALF_SIZES),
        "decoder": _half_sizes(decoder, DECODER_SIZES),
    }
    found = {name: settings.get(name) for name in MODULES}
    for section, stated in {**sections, "model_conf.domain_conf": transform}.items():
        found |= {f"{section}.{name}": value for name, value in stated.items()}
    refuse_other_settings(found, _supported(network, card.sample_rate), where)
    _check_shape(network, card, where)
    return network


def _section(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    stated, defaults = dict(settings.get(name) or {}), DEFAULT_SETTINGS[name]
    if name == "model_conf":
        stated = {key: value for key, value in stated.items() if key in defaults}
    return {key: value for key, value in (defaults | stated).items() if key not in IGNORED.get(name, ())}


def _half_sizes(half: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Take the sizes out of ``half``; what stays is to be compared with what is supported."""
    sizes = {ours: half.pop(theirs) for ours, theirs in names.items()}
    if half["seq_model"] in (None, "none"):
        half["seq_model"], sizes["lstm_layers"] = "lstm", 0
    half["norm_params"] = {"num_groups": 1} | half["norm_params"]
    return {name: None if name in GROUP_RATIOS and size <= 0 else size for name, size in sizes.items()}


def _supported(network: Mapping[str, Any], sample_rate: int) -> dict[str, Any]:
    fixed = {"norm": "time_group_norm", "norm_params": {"num_groups": 1}}
    changed = {
        "encoder_conf": fixed,
        "decoder_conf": fixed | {"channels": 3, "ratios": network["ratios"]},
        "quantizer_conf": {},
        "model_conf": {
            "target_sample_hz": sample_rate,
            "audio_normalize": True,
            "segment_dur": None,
            "codec_domain": ["mag_phase", "mag_phase"],
        },
    }
    return MODULES | {
        f"{section}.{name}": value
        for section, defaults in DEFAULT_SETTINGS.items()
        for name, value in (defaults | changed[section]).items()
    }


def _check_shape(network: Mapping[str, Any], card: CodecCard, where: Path) -> None:
    frequency, time = (math.prod(ratio[axis] for ratio in network["ratios"]) for axis in (0, 1))
    if 2 * frequency != network["fft_length"]:
        raise CodecError(
            f"{where}: encoder_conf.ratios divide the frequencies by {frequency}, but the "
            f"{network['fft_length'] // 2 + 1} rows of the transform need {network['fft_length'] // 2}"
        )
    for setting, found, expected in (
        ("encoder_conf.ratios give a hop of", time * network["fft_hop"], card.hop_length),
        ("quantizer_conf.num_quantizers is", network["codebooks"], card.codebooks),
        ("quantizer_conf.codebook_size is", network["codebook_size"], card.codebook_size),
    ):
        if found != expected:
            raise CodecError(
                f"{where}: {setting} {found}, but {card.id} has {expected}; this is the checkpoint of another "
                f"codec: codecfake codecs describe {card.id} shows the right one"
            )
