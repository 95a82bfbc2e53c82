"""How near one fake is to its source: what the audit measures, and intelligibility and quality where installed."""

from dataclasses import dataclass

from codecfake.codec_adapters.resampling import Wave
from codecfake.pipeline.audit.pair_quality import compare_waves
from codecfake.pipeline.codec_training.validation import SAMPLE_RATE, SHORTEST_SECONDS, pesq, stoi

TOO_LITTLE_SPEECH = 1e-5
"""What pystoi answers when hardly any frame holds speech."""


@dataclass(frozen=True)
class Nearness:
    """A fake beside its source, both at 16 kHz and cut to the shorter one; None where a measure cannot tell."""

    si_sdr: float | None
    """In dB."""
    mel_distance: float
    """Mean absolute difference of log-mel spectra, in dB."""
    level_db: float
    """Root mean square relative to the source's."""
    stoi: float | None
    """0 to 1."""
    pesq: float | None
    """1.0 to 4.64."""


def nearness(source: Wave, fake: Wave) -> Nearness:
    """Compare two waves at 16 kHz, each of shape (T,) of its own length."""
    samples = min(len(source), len(fake))
    source, fake = source[:samples], fake[:samples]
    pair = compare_waves(source, fake)
    is_long = samples >= SHORTEST_SECONDS * SAMPLE_RATE
    intelligibility = stoi(source, fake) if is_long else None
    if intelligibility is not None and intelligibility <= TOO_LITTLE_SPEECH:
        intelligibility = None
    quality = pesq(source, fake) if is_long else None
    return Nearness(pair.si_sdr, pair.mel_distance, pair.level_db, intelligibility, quality)
