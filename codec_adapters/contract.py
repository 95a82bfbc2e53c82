"""The contract of every codec adapter, measured on one with its weights loaded: ``codecfake codecs check``.

Results are in words with figures; what is stated of a codec, but no fault, is measured and not judged.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from codecfake.codec_adapters.base import CodecAdapter
from codecfake.codec_adapters.card import CodecCard
from codecfake.codec_adapters.contract_card import card_problems
from codecfake.codec_adapters.contract_probe import Probe, in_decibels, signal_to_noise, speech_like
from codecfake.codec_adapters.errors import CodecError

FRAMES_ALIKE = 0.999
"""Least share of frames whose codes a batch leaves as they are."""
NEAR_TIES = 2
"""Frames that may differ where there are too few to tell that share: between two codewords at nearly the same
distance, as random ones often are, the last bits decide, and they depend on the size of the batch."""
LEAST_SNR = 60.0
"""Least signal-to-noise ratio in dB of a batch against single runs."""
LEVEL_TOLERANCE = 6.0
"""Most that a trained codec may change the level of speech, in dB."""
LAG_TOLERANCE = 0.0005
"""Most that a trained codec may be off in time, in seconds."""

SHORT_SECONDS = 0.25
OTHER_RATES = (8_000, 16_000, 44_100, 48_000)


@dataclass(frozen=True)
class ContractResult:
    """What one check found."""

    name: str
    ok: bool | None
    """``None`` where something is measured and not judged."""
    found: str


Verdict = tuple[bool | None, str]


def check_adapter(adapter: CodecAdapter, *, trained: bool) -> list[ContractResult]:
    """Run every check on an adapter.

    Args:
        adapter: With its weights loaded.
        trained: Whether the weights are meant for audio. Random ones change the level and the time structure
            of what they are given, which says nothing.

    Returns:
        One result per check, in the order of ``CHECKS``. An error inside a check is its result.
    """
    probe = Probe(adapter, trained=trained)
    return [_run(name, check, probe) for name, check in CHECKS.items()]


def check_card(card: CodecCard) -> ContractResult:
    """Check the card alone: no weights are needed."""
    return _run("card", _judge_card, card)


def _judge_card(card: CodecCard) -> Verdict:
    problems = card_problems(card)
    if problems:
        return False, "; ".join(problems)
    return True, f"{card.sample_rate} Hz, hop {card.hop_length}, {card.kilobits_per_second:g} kbps"


def _network(probe: Probe) -> Verdict:
    import torch

    networks = [value for value in vars(probe.adapter).values() if isinstance(value, torch.nn.Module)]
    problems = set()
    for network in networks:
        tensors = [*network.parameters(), *network.buffers()]
        if any(module.training for module in network.modules()):
            problems.add("in training mode: call eval()")
        kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
        problems |= {f"{kind}: half precision changes the codes" for kind in kinds - {torch.float32}}
        places = {tensor.device.type for tensor in tensors}
        problems |= {f"on {place}" for place in places - {torch.device(probe.adapter.device).type}}
    output = probe.singles[0]
    if output.dtype != np.float32 or output.ndim != 1:
        problems.add(f"output {output.dtype} of {output.ndim} dimensions")
    size = sum(tensor.numel() for network in networks for tensor in network.parameters())
    return not problems, "; ".join(sorted(problems)) or f"{size / 1e6:.1f} M parameters, float32, eval"


def _codes(probe: Probe) -> Verdict:
    waves = probe.prepared(probe.waves[:1])
    codes = probe.codes(waves)
    if codes is None:
        return None, "codes() is not there"
    expected = (1, probe.card.codebooks, waves.shape[1] // probe.hop)
    shape_fits = codes.shape[:2] == expected[:2] and codes.shape[2] >= expected[2]
    fits = shape_fits and codes.min() >= 0 and codes.max() < probe.card.codebook_size
    used = f"shape {codes.shape}, {len(np.unique(codes))} values from {codes.min()} to {codes.max()}"
    return fits, used if fits else f"{used}; the card says {expected}, below {probe.card.codebook_size}"


def _length(probe: Probe) -> Verdict:
    hop = probe.hop
    cases = [(probe.rate, length) for length in (1, hop - 1, hop, hop + 1, 2 * hop + hop // 2 + 1) if length]
    cases += [(rate, length) for rate in OTHER_RATES if rate != probe.rate for length in (1, 1237)]
    wrong = []
    for rate in {rate: None for rate, _ in cases}:
        lengths = [length for case_rate, length in cases if case_rate == rate]
        waves = [speech_like(1, rate, 1)[:length] for length in lengths]
        outputs = probe.adapter.resynthesize(waves, rate)
        wrong += [
            f"{length} samples at {rate} Hz became {len(output)}"
            for length, output in zip(lengths, outputs, strict=True)
            if len(output) != length
        ]
    return not wrong, "; ".join(wrong) or f"exact in {len(cases)} cases, from 1 sample on"


def _chunks(probe: Probe) -> Verdict:
    context = int(probe.card.context_seconds * probe.rate) // probe.hop * probe.hop
    chunk = 2 * context + 4 * probe.hop
    samples = chunk + 2 * context + probe.hop + 1
    wave = speech_like(samples / probe.rate, probe.rate, 5)
    with _chunks_of(probe.adapter, (chunk + 0.5) / probe.rate):
        output = probe.run(wave)
    ok = len(output) == samples and bool(np.isfinite(output).all())
    found = f"{samples} samples in 2 chunks became {len(output)}"
    if probe.card.batches == "right padding exact":
        found += f"; seam {in_decibels(signal_to_noise(probe.run(wave), output))}"
    return ok, found


@contextmanager
def _chunks_of(adapter: CodecAdapter, seconds: float) -> Iterator[None]:
    """Chunk shorter utterances than usual, so that a second or two of audio show the seam."""
    adapter.chunk_seconds = seconds
    try:
        yield
    finally:
        del adapter.chunk_seconds


def _repeat(probe: Probe) -> Verdict:
    again = probe.run(probe.waves[0])
    same = again.tobytes() == probe.singles[0].tobytes()
    return same, f"second run {in_decibels(signal_to_noise(probe.singles[0], again))}"


def _batch(probe: Probe) -> Verdict:
    together = probe.adapter.resynthesize(probe.waves, probe.rate)
    snr = min(map(signal_to_noise, probe.singles, together))
    waves = probe.prepared(probe.waves)
    codes = probe.codes(waves)
    if codes is None:
        return snr >= LEAST_SNR, f"{len(together)} together {in_decibels(snr)}"
    alone = np.concatenate([probe.codes(wave[None]) for wave in waves])
    return _judge_frames(codes, alone, snr)


def _unequal(probe: Probe) -> Verdict:
    waves = [
        speech_like(SHORT_SECONDS, probe.rate, 6),
        probe.waves[0],
        speech_like(SHORT_SECONDS / 2, probe.rate, 7),
    ]
    alone = [probe.run(waves[0]), probe.singles[0], probe.run(waves[2])]
    snr = min(map(signal_to_noise, alone, probe.adapter.resynthesize(waves, probe.rate)))
    lengths = ", ".join(f"{len(wave) / probe.rate:.2f}" for wave in waves)
    return snr >= LEAST_SNR, f"{lengths} s in one call: each as alone, {in_decibels(snr)}"


def _padding(probe: Probe) -> Verdict:
    import torch

    waves = probe.prepared(probe.waves[:1])
    samples = waves.shape[1]
    padded = torch.nn.functional.pad(waves, (0, probe.adapter.padded_length(2 * samples) - samples))
    with torch.inference_mode():
        short, long = (probe.adapter.reconstruct(wave).cpu().numpy()[0, :samples] for wave in (waves, padded))
    snr, codes = signal_to_noise(short, long), probe.codes(waves)
    is_claimed = probe.card.batches == "right padding exact"
    if codes is None:
        return snr >= LEAST_SNR if is_claimed else None, f"zeros after it: {in_decibels(snr)}"
    frames = min(codes.shape[2], samples // probe.hop)
    ok, found = _judge_frames(probe.codes(padded)[..., :frames], codes[..., :frames], snr)
    return ok if is_claimed else None, f"zeros after it: {found}"


def _extremes(probe: Probe) -> Verdict:
    length = int(SHORT_SECONDS * probe.rate)
    square = np.sign(speech_like(SHORT_SECONDS, probe.rate, 8))
    waves = {
        "silence": np.zeros(length, np.float32),
        "full-scale square": square,
        "four times that": 4 * square,
    }
    outputs = {name: probe.run(wave) for name, wave in waves.items()}
    wrong = [name for name, output in outputs.items() if not np.isfinite(output).all()]
    return not wrong, f"not finite: {', '.join(wrong)}" if wrong else f"finite: {', '.join(waves)}"


def _bad_input(probe: Probe) -> Verdict:
    wave = probe.waves[0]
    cases = {
        "no samples": wave[:0],
        "three dimensions": wave[:8].reshape(2, 2, 2),
        "NaN": np.where(np.arange(len(wave)) == 0, np.nan, wave),
        "integers": (wave * 32767).astype(np.int16),
    }
    answers = {name: _answer(probe, case) for name, case in cases.items()}
    ok = set(answers.values()) == {"refused"}
    return ok, "; ".join(f"{name}: {answer}" for name, answer in answers.items())


def _answer(probe: Probe, wave: np.ndarray) -> str:
    try:
        probe.run(wave)
    except CodecError:
        return "refused"
    except Exception as error:
        return f"crash, {type(error).__name__}: {error}"
    return "taken"


def _level(probe: Probe) -> Verdict:
    before, after = (np.square(np.concatenate(waves)).mean() for waves in (probe.waves, probe.singles))
    change = 10 * np.log10(max(after, 1e-20) / before)
    return abs(change) <= LEVEL_TOLERANCE if probe.trained else None, f"{change:+.1f} dB"


def _alignment(probe: Probe) -> Verdict:
    if not probe.trained:
        return None, "not told by random weights"
    before, after = np.concatenate(probe.waves), np.concatenate(probe.singles)
    reach = int(0.02 * probe.rate)
    lags = range(-reach, reach + 1)
    likeness = [float(np.dot(before, np.roll(after, -lag))) for lag in lags]
    lag = lags[int(np.argmax(likeness))]
    share = max(likeness) / (np.linalg.norm(before) * np.linalg.norm(after) + 1e-12)
    found = f"{lag} samples late, correlation {share:.2f}"
    return abs(lag) <= LAG_TOLERANCE * probe.rate if share > 0.5 else None, found


CHECKS: dict[str, Callable[[Probe], Verdict]] = {
    "card": lambda probe: _judge_card(probe.card),
    "network": _network,
    "codes": _codes,
    "length": _length,
    "chunks": _chunks,
    "repeat": _repeat,
    "batch": _batch,
    "unequal": _unequal,
    "padding": _padding,
    "extremes": _extremes,
    "bad input": _bad_input,
    "level": _level,
    "alignment": _alignment,
}
"""The checks by name, in the order they are shown."""


def _run(name: str, check: Callable[[Any], Verdict], subject: Any) -> ContractResult:
    try:
        ok, found = check(subject)
    except Exception as error:
        ok, found = False, f"{type(error).__name__}: {error}"
    return ContractResult(name, None if ok is None else bool(ok), found)


def _judge_frames(codes: np.ndarray, expected: np.ndarray, snr: float) -> Verdict:
    """Judge codes of shape (B, K, F) and a waveform's signal-to-noise ratio in dB."""
    differing = int((codes != expected).any(axis=1).sum())
    frames = codes.shape[0] * codes.shape[2]
    is_alike = differing <= max(NEAR_TIES, (1 - FRAMES_ALIKE) * frames)
    found = f"{differing} of {frames} frames with other codes, waveform {in_decibels(snr)}"
    return is_alike and snr >= LEAST_SNR, found
