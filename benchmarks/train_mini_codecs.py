"""Train the reduced codecs that ship with the package, on speech made by espeak-ng.

Example:
    python benchmarks/train_mini_codecs.py F04 --minutes 45 --out codec_adapters/mini --validate VCTK AISHELL3
"""

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from pystoi import stoi
from safetensors.torch import load_file, save_file
from torch import nn
from training_speech import invent_speech

from codecfake.codec_adapters.nn.seanet import SeanetCodec
from codecfake.codec_adapters.training import TrainingProgress, TrainingSettings, train_codec

ARCHITECTURES = {"F04": "encodec", "F07": "dac"}
CONFIGS = {
    "encodec": {
        "filters": 8,
        "ratios": [8, 5, 4, 2],
        "dimension": 64,
        "codebooks": 8,
        "codebook_size": 1024,
        "causal": True,
        "lstm_layers": 1,
    },
    "dac": {
        "sampling_rate": 44_100,
        "encoder_hidden_size": 8,
        "decoder_hidden_size": 128,
        "downsampling_ratios": [2, 4, 8, 8],
        "n_codebooks": 9,
        "codebook_size": 1024,
        "codebook_dim": 8,
    },
}
SAMPLE_RATES = {"encodec": 24_000, "dac": 44_100}
HOP_LENGTHS = {"encodec": 320, "dac": 512}
TRAINING = {
    "encodec": {"crop_samples": 9600, "batch_size": 5, "warmup_steps": 2000},
    "dac": {"crop_samples": 8192, "batch_size": 5, "warmup_steps": 2000},
}
STOI_RATE = 16_000
CHECKPOINT_SECONDS = 240.0


def build_model(architecture: str) -> nn.Module:
    """Build the reduced network with random weights."""
    from transformers import DacConfig, DacModel

    if architecture == "encodec":
        return SeanetCodec(**CONFIGS["encodec"])
    return DacModel(DacConfig(**CONFIGS["dac"]))


@torch.inference_mode()
def resynthesise(model: nn.Module, architecture: str, wave: np.ndarray) -> np.ndarray:
    """Send one wave, float32, shape (T,), through all codebooks; the length stays."""
    hop = HOP_LENGTHS[architecture]
    padded = np.pad(wave, (0, -wave.size % hop)).astype(np.float32)
    batch = torch.from_numpy(padded)[None]
    if architecture == "encodec":
        decoded = model.decode(model.encode(batch))
    else:
        decoded = model.decode(model.encode(batch[:, None]).quantized_representation).audio_values
    return decoded.flatten().numpy()[: wave.size]


def measure_stoi(model: nn.Module, architecture: str, waves: list[np.ndarray]) -> float:
    """Mean STOI of waves at the model's own rate, compared at 16 kHz."""
    rate = SAMPLE_RATES[architecture]
    scores = []
    for wave in waves:
        decoded = resynthesise(model, architecture, wave)
        scores.append(stoi(*(soxr.resample(part, rate, STOI_RATE) for part in (wave, decoded)), STOI_RATE))
    return round(float(np.mean(scores)), 4)


@torch.no_grad()
def restore_level(model: nn.Module, architecture: str, waves: list[np.ndarray]) -> float:
    """Fold a gain into the last convolution, so that speech leaves as loud as it came; return it in dB.

    A loss on the wave makes a network that is unsure of the phase speak too softly.
    """
    last = [module for module in model.decoder.modules() if isinstance(module, nn.Conv1d)][-1]
    decibels = 0.0
    for _ in range(3):  # DAC ends in a tanh, so that one gain is not quite enough
        ratios = [wave.std() / resynthesise(model, architecture, wave).std() for wave in waves]
        gain = float(np.median(ratios))
        last.weight.mul_(gain)
        last.bias.mul_(gain)
        decibels += 20 * math.log10(gain)
    return decibels


def read_clips(folder: Path, sample_rate: int) -> list[np.ndarray]:
    """Read every clip below ``folder``; STOI needs more than half a second."""
    waves = []
    for path in sorted([*folder.rglob("*.flac"), *folder.rglob("*.wav")]):
        wave, native_rate = soundfile.read(path, dtype="float32", always_2d=True)
        if wave.shape[0] > 0.8 * native_rate:
            waves.append(soxr.resample(wave[:, 0], native_rate, sample_rate).astype(np.float32))
    return waves


def save_checkpoint(model: nn.Module, path: Path) -> str:
    """Write half-precision weights, and read them back into ``model``; return the file's sha256."""
    tensors = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary)
    temporary.replace(path)
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, strict=True)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=ARCHITECTURES)
    parser.add_argument("--minutes", type=float, default=math.inf, help="wall-clock limit of the training")
    parser.add_argument(
        "--steps",
        type=int,
        default=1_000_000,
        help="number of steps; with --start, 0 only restores the level",
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--validate", type=Path, nargs=2, metavar=("VCTK", "AISHELL3"))
    parser.add_argument("--speech-minutes", type=float, default=30)
    parser.add_argument("--start", type=Path, help="go on from this checkpoint")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    architecture = ARCHITECTURES[arguments.name]
    model = build_model(architecture)
    rate = SAMPLE_RATES[architecture]
    speech = invent_speech(arguments.speech_minutes * 60, rate, seed=arguments.seed)
    clips = {"espeak": invent_speech(60, rate, seed=arguments.seed + 1)}
    if arguments.validate:
        clips |= {
            "en": read_clips(arguments.validate[0], rate),
            "zh": read_clips(arguments.validate[1], rate),
        }
    steps_before, minutes_before = 0, 0.0
    if arguments.start:
        weights = {name: tensor.float() for name, tensor in load_file(arguments.start).items()}
        model.load_state_dict(weights, strict=True)
        card = json.loads(arguments.start.with_suffix(".json").read_text(encoding="utf-8"))
        steps_before, minutes_before = card["steps"], card["minutes"]
    seconds_of_speech = round(sum(wave.size for wave in speech) / rate, 1)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{arguments.name}: {seconds_of_speech} s of speech, {parameters / 1e6:.2f} M parameters", flush=True
    )
    path = arguments.out / f"{arguments.name}.safetensors"
    recent: list[float] = []
    last_saved = time.monotonic()

    def publish(network: nn.Module, steps: int, seconds: float) -> None:
        sha256 = save_checkpoint(network, path)
        card = {
            "name": arguments.name,
            "architecture": architecture,
            "config": CONFIGS[architecture],
            "sha256": sha256,
            "bytes": path.stat().st_size,
            "trained_on": "speech made by espeak-ng (English, Mandarin, ten other accents); no recording",
            "seconds_of_speech": seconds_of_speech,
            "steps": steps_before + steps,
            "minutes": round(minutes_before + seconds / 60, 1),
            "stoi": {kind: measure_stoi(network, architecture, waves) for kind, waves in clips.items()},
            "seed": arguments.seed,
        }
        path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        print(f"step {steps}, {seconds / 60:.1f} min: STOI {card['stoi']}, {sha256[:8]}", flush=True)

    def watch(progress: TrainingProgress, snapshot: Callable[[], nn.Module]) -> None:
        nonlocal last_saved
        recent.append(progress.loss)
        if progress.step % 100 == 0:
            print(
                f"step {progress.step} {progress.seconds:.0f} s loss {np.mean(recent[-100:]):.4f}", flush=True
            )
        if time.monotonic() - last_saved > CHECKPOINT_SECONDS and progress.quantised:
            publish(snapshot(), progress.step, progress.seconds)
            last_saved = time.monotonic()

    settings = TrainingSettings(
        steps=arguments.steps,
        seconds=arguments.minutes * 60,
        learning_rate=arguments.rate,
        seed=arguments.seed,
        **TRAINING[architecture],
    )
    started = time.monotonic()
    losses = train_codec(model, speech, rate, settings, on_step=watch)
    print(f"level restored by {restore_level(model, architecture, clips['espeak']):.1f} dB", flush=True)
    publish(model, len(losses), time.monotonic() - started)


if __name__ == "__main__":
    main()
