"""Each paper's own way of training, at the published size; the networks are those of the cards.

What is the trainer's own everywhere: the distances between waves and between spectra (losses.py), which stand for each
paper's own and take its weights; means over discriminators and over their layers, so that the weights of papers that
sum carry the counts; the restart of dead codewords; and a commitment that is relative to the variance of the latents.
Every simplification beyond these stands beside its recipe. Batch sizes are those of all devices together: with several,
divide them. What no source states is said to be chosen here.
"""

from typing import Any

from codecfake.codec_adapters.training.codebooks import Dropout
from codecfake.codec_adapters.training.losses import LossWeights

HIFIGAN_DISCRIMINATORS = ("multi-period", "multi-scale wave")
HIFIGAN_SCORES = 5 + 3
"""That HiFi-GAN sums: five periods and three scales."""
HIFIGAN_FEATURES = 2 * (5 * 6 + 3 * 8)
"""That HiFi-GAN sums, twice each: the layers of every discriminator, its score included."""
STFT_SCORES = 5
STFT_FEATURES = 2 * 5 * 5

GAN = {"weight_decay": 0.0, "gradient_clip": None, "data_dependent_start": False, "averaging": 0.0}
"""Common to all that follows: plain Adam, which AdamW without decay is, and the last weights instead of their mean."""

PAPER: dict[str, dict[str, Any]] = {
    # SoundStream, arXiv 2107.03312, section III. Dropout over codebooks for every item (III-C); adversarial
    # 1, features 100, reconstruction 1, hinge (III-E); k-means start and restarts (III-C); windows of 64 to
    # 2048 samples. The paper states no optimiser, batch or length: those are of soundstream-pytorch, whose
    # network the card has (Adam 1e-4, betas 0.5 and 0.9, batches of 32 crops of 32,270 samples, about 150
    # epochs of train-clean-100). Simplified: EnCodec's multi-scale STFT discriminators stand for the paper's
    # single one.
    "F01": {
        **GAN,
        "crop_samples": 32_320,
        "batch_size": 32,
        "steps": 135_000,
        "learning_rate": 1e-4,
        "betas": (0.5, 0.9),
        "schedule": "constant",
        "weight_norm": False,
        "fft_sizes": (2048, 1024, 512, 256, 128, 64),
        "dropout": Dropout(1.0),
        "discriminators": ("multi-scale wave", "multi-scale STFT"),
        "losses": LossWeights(
            wave=0.0,
            magnitude=1.0,
            phase=0.0,
            mel=1.0,
            envelope=0.0,
            commitment=1.0,
            adversarial=1.0,
            feature_matching=100.0,
        ),
    },
    # SpeechTokenizer, arXiv 2308.16692; the numbers are those of config/spt_base_cfg.json and
    # trainer/loss.py: Adam 1e-4, betas 0.9 and 0.99, cosine, batches of 6 crops of 3 s, 10 epochs of
    # LibriSpeech (281,241 utterances), wave 500 at the wave's own level (here at unit level: speech has about
    # 0.07 of it), mel 45 + 1 + 1 + 1, commitment 10, least squares. Simplified: no distillation of HuBERT
    # into the first codebook (weight 120), which needs HuBERT; so the first codebook carries no more meaning
    # than the others.
    "F02": {
        **GAN,
        "crop_samples": 48_000,
        "batch_size": 6,
        "steps": 468_000,
        "learning_rate": 1e-4,
        "betas": (0.9, 0.99),
        "final_rate": 0.0,
        "fft_sizes": (1024, 512),
        "discriminators": (*HIFIGAN_DISCRIMINATORS, "multi-scale STFT"),
        "adversarial_kind": "least squares",
        "losses": LossWeights(
            wave=35.0,
            magnitude=0.0,
            phase=0.0,
            mel=45.0,
            envelope=0.0,
            commitment=10.0,
            adversarial=HIFIGAN_SCORES + STFT_SCORES,
            feature_matching=HIFIGAN_FEATURES + STFT_FEATURES,
        ),
    },
    # FunCodec, arXiv 2309.07405; egs/LibriTTS/codec/conf/encodec_16k_n32_600k_step_ds640.yaml and the
    # defaults of codec_basic.py: Adam 3e-4, betas 0.5 and 0.9, no clipping, batches of 16 crops of 40,960
    # samples, 60 times 10,000 steps, 2 to 32 codebooks drawn for every item, wave 1 over waves of unit level,
    # spectra 1, adversarial 1/9, features 100/9, commitment 1, hinge; group norm instead of weight norm.
    "F03": {
        **GAN,
        "crop_samples": 40_960,
        "batch_size": 16,
        "steps": 600_000,
        "learning_rate": 3e-4,
        "betas": (0.5, 0.9),
        "schedule": "constant",
        "weight_norm": False,
        "fft_sizes": (1024, 512, 256, 128, 64, 32),
        "dropout": Dropout(1.0, (2, 4, 8, 16, 32)),
        "discriminators": ("multi-scale STFT",),
        "losses": LossWeights(
            wave=1.0,
            magnitude=1.0,
            phase=0.0,
            mel=1.0,
            envelope=0.0,
            commitment=1.0,
            adversarial=1 / 9,
            feature_matching=100 / 9,
        ),
    },
    # EnCodec, arXiv 2210.13438, section 3.4 (losses: wave 0.1, spectra 1, adversarial 3, features 3,
    # relative; hinge; discriminators of five windows that learn in two of three steps at 24 kHz) and 4.1
    # (Adam 3e-4, betas 0.5 and 0.9, 300 epochs of 2,000 steps, batches of 64 crops of 1 s; 1.5 to 24 kbps
    # drawn, which is 2 to 32 codebooks). Simplified: no balancer of gradients, which makes weights
    # independent of the losses' scales: the weights are plain ones here; codebooks are drawn per item instead
    # of per batch.
    "F04": {
        **GAN,
        "crop_samples": 24_000,
        "batch_size": 64,
        "steps": 600_000,
        "learning_rate": 3e-4,
        "betas": (0.5, 0.9),
        "schedule": "constant",
        "fft_sizes": (2048, 1024, 512, 256, 128, 64, 32),
        "dropout": Dropout(1.0, (2, 4, 8, 16, 32)),
        "discriminators": ("multi-scale STFT",),
        "discriminator_share": 2 / 3,
        "relative_features": True,
        "losses": LossWeights(
            wave=0.1,
            magnitude=1.0,
            phase=0.0,
            mel=1.0,
            envelope=0.0,
            commitment=1.0,
            adversarial=3.0,
            feature_matching=3.0,
        ),
    },
    # AudioDec, arXiv 2305.16608, section 3; config/autoencoder/symAD_libritts_24000_hop300.yaml and
    # config/vocoder/AudioDec_v1_symAD_libritts_24000_hop300_clean.yaml: 500,000 steps of the autoencoder with
    # mel 45 and quantiser 1, then 500,000 of a vocoder on its frozen latents with mel 45, adversarial 1,
    # features 2, both sums as in HiFi-GAN, least squares; Adam 1e-4, betas 0.5 and 0.9, batches of 16 crops
    # of 9,600 samples. Simplified: one recipe with one network, in which the vocoder trains from the first
    # step on in place of the autoencoder's own decoder, with the latents as they are (its mean and scale stay
    # 0 and 1); the rate is constant, where the vocoder's is 2e-4, halved every 200,000 steps.
    "F05": {
        **GAN,
        "crop_samples": 9600,
        "batch_size": 16,
        "steps": 1_000_000,
        "encoder_steps": 500_000,
        "reconstruction_steps": 500_000,
        "learning_rate": 1e-4,
        "betas": (0.5, 0.9),
        "schedule": "constant",
        "fft_sizes": (2048,),
        "discriminators": HIFIGAN_DISCRIMINATORS,
        "adversarial_kind": "least squares",
        "losses": LossWeights(
            wave=0.0,
            magnitude=0.0,
            phase=0.0,
            mel=45.0,
            envelope=0.0,
            commitment=1.0,
            adversarial=HIFIGAN_SCORES,
            feature_matching=HIFIGAN_FEATURES,
        ),
    },
    # HiFi-Codec, arXiv 2305.02765; egs/HiFi-Codec-24k-320d/config_24k_320d.json and
    # models/hificodec/train.py: Adam 2e-4, betas 0.5 and 0.9, batches of 80 crops of 16,000 samples, mel 45 +
    # 1 + 1, quantiser 10, adversarial and features summed as in HiFi-GAN over three families of
    # discriminators, least squares. The number of steps is chosen here, and so is how far the rate falls:
    # both follow from epochs of data that are not published (0.98 per epoch). Simplified: the codebooks learn
    # by running means, where the published code gives them a gradient (1, and 0.25 for the commitment).
    "F06": {
        **GAN,
        "crop_samples": 16_000,
        "batch_size": 80,
        "steps": 500_000,
        "learning_rate": 2e-4,
        "betas": (0.5, 0.9),
        "schedule": "exponential",
        "final_rate": 0.1,
        "fft_sizes": (1024, 512),
        "discriminators": (*HIFIGAN_DISCRIMINATORS, "multi-scale STFT"),
        "adversarial_kind": "least squares",
        "losses": LossWeights(
            wave=0.0,
            magnitude=0.0,
            phase=0.0,
            mel=45.0,
            envelope=0.0,
            commitment=2.5,
            adversarial=HIFIGAN_SCORES + STFT_SCORES,
            feature_matching=HIFIGAN_FEATURES + STFT_FEATURES,
        ),
    },
    # DAC, arXiv 2306.06546, sections 3 and 4; conf/final/44khz.yml: AdamW 1e-4, betas 0.8 and 0.99, times
    # 0.999996 every step, 400,000 steps, batches of 72 crops of 0.38 s, half of the items with fewer
    # codebooks, mel 15 over seven windows that are summed in decades (45 as a mean in natural logarithms),
    # adversarial 1 and features 2, summed over discriminators and layers, codebook 1, commitment 0.25, least
    # squares, gradients clipped at 1000; the codec's weight decay is AdamW's default. Simplified: crops keep
    # their level, where the paper brings all to -16 LUFS.
    "F07": {
        **GAN,
        "crop_samples": 16_896,
        "batch_size": 72,
        "steps": 400_000,
        "learning_rate": 1e-4,
        "betas": (0.8, 0.99),
        "weight_decay": 0.01,
        "gradient_clip": 1000.0,
        "schedule": "exponential",
        "final_rate": 0.999996**400_000,
        "fft_sizes": (2048, 1024, 512, 256, 128, 64, 32),
        "codebooks_learn_by": "gradients",
        "dropout": Dropout(0.5),
        "discriminators": ("multi-period", "multi-band STFT"),
        "adversarial_kind": "least squares",
        "losses": LossWeights(
            wave=0.0,
            magnitude=0.0,
            phase=0.0,
            mel=45.0,
            envelope=0.0,
            commitment=0.25,
            codebook=1.0,
            adversarial=8.0,
            feature_matching=200.0,
        ),
    },
}
