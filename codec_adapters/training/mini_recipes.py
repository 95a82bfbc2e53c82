"""Reduced networks of each codec's topology, trained within half an hour on one core, without discriminators.

All codebooks of the card are kept, and all their codewords but FunCodec's, so that width and latent channels are what
is reduced; in half precision each network takes less than 3 MB. The sizes were chosen by the steps per second of one
core and by what was intelligible after some hundred steps.
"""

from typing import Any

from codecfake.codec_adapters.training.losses import LossWeights

SCHEDULE = {
    "steps": 4000,
    "warmup_steps": 800,
    "opening_steps": 1800,
    # One level for all speech: networks this small spend half of what they can do on levels otherwise.
    "working_level": 0.1,
    # Once a network has learnt phase, envelopes are what makes it intelligible.
    "losses": LossWeights(wave=2.0, mel=2.0, envelope=4.0),
}
"""What all of them share."""

MINI: dict[str, dict[str, Any]] = {
    "F01": {
        **SCHEDULE,
        "network": {"channels": 6, "strides": [2, 4, 5, 8], "codebooks": 8, "codebook_size": 1024},
        "crop_samples": 10_240,
        "batch_size": 5,
    },
    "F02": {
        **SCHEDULE,
        "network": {
            "filters": 6,
            "ratios": [8, 5, 4, 2],
            "dimension": 64,
            "codebooks": 8,
            "codebook_size": 1024,
            "causal": False,
            "bidirectional_encoder": True,
            "lstm_layers": 1,
        },
        "crop_samples": 10_240,
        "batch_size": 5,
    },
    "F03": {
        **SCHEDULE,
        # Normalised after every convolution, it learns more slowly than the others.
        "steps": 8000,
        "warmup_steps": 1600,
        "opening_steps": 3600,
        "network": {
            "filters": 5,
            "ratios": [8, 5, 4, 2, 2],
            "dimension": 120,  # at 25 frames a second fewer numbers hold no waveform
            "codebooks": 32,
            "codebook_size": 64,
            "causal": False,
            "group_norm": True,
            "level_normalised": True,
            "lstm_layers": 1,
        },
        "working_level": None,  # its network has its own
        "crop_samples": 10_240,
        "batch_size": 5,
    },
    "F04": {
        **SCHEDULE,
        "network": {
            "filters": 8,
            "ratios": [8, 5, 4, 2],
            "dimension": 64,
            "codebooks": 8,
            "codebook_size": 1024,
            "causal": True,
            "lstm_layers": 1,
        },
        "crop_samples": 16_000,
        "batch_size": 4,
    },
    "F05": {
        **SCHEDULE,
        "network": {
            "channels": 8,
            "channel_ratios": [2, 4, 8, 16],
            "strides": [3, 4, 5, 5],
            "latent_channels": 48,
            "codebooks": 8,
            "codebook_size": 1024,
            "vocoder_channels": 64,
            "vocoder_strides": [5, 5, 4, 3],
            "vocoder_kernel_sizes": [11],
            "vocoder_groups": 3,
        },
        "delay_samples": 300,  # its encoder sees no more than the first sample of a frame
        "learning_rate": 5e-4,
        "crop_samples": 15_000,
        "batch_size": 4,
    },
    "F06": {
        **SCHEDULE,
        "network": {
            "encoder_channels": 8,
            "decoder_channels": 96,
            "strides": [8, 5, 4, 2],
            "kernel_sizes": [16, 11, 8, 4],
            "block_kernel_sizes": [3],
            "groups": 2,
            "layers": 2,
            "codebook_size": 1024,
        },
        "crop_samples": 16_000,
        "batch_size": 4,
    },
    "F07": {
        **SCHEDULE,
        "network": {
            "sampling_rate": 44_100,
            "encoder_hidden_size": 8,
            "decoder_hidden_size": 128,
            "downsampling_ratios": [2, 4, 8, 8],
            "upsampling_ratios": [8, 8, 4, 2],
            "n_codebooks": 9,
            "codebook_size": 1024,
            "codebook_dim": 8,
        },
        "crop_samples": 20_480,
        "batch_size": 3,
        "learning_rate": 5e-4,  # twice as much, and it diverges
        # The encoder is frozen before the codebooks are made: they are placed once, and do not learn.
        "warmup_steps": 1600,
        "encoder_steps": 1600,
        "opening_steps": 2200,
        "codebooks_learn_by": "principal directions",
    },
}
