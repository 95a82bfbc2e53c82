"""What no recording of speech is: refused from its header, before memory is taken for it."""

SAMPLE_RATES = range(4_000, 384_001)
"""In Hz."""
MAXIMUM_CHANNELS = 32
MAXIMUM_SAMPLES = 1 << 28
"""Over all channels: 1 GiB once decoded, and more than an hour of one channel at 48 kHz."""


def format_problem(sample_rate: int, channels: int, frames: int) -> str:
    """Say what in a header is beyond the limits; "" if nothing is.

    Args:
        sample_rate: In Hz.
        channels: Number of them.
        frames: Samples per channel, as many as would be decoded.
    """
    if sample_rate not in SAMPLE_RATES:
        return f"{sample_rate:,} Hz, not between {SAMPLE_RATES[0]:,} and {SAMPLE_RATES[-1]:,}"
    if channels > MAXIMUM_CHANNELS:
        return f"{channels} channels, more than {MAXIMUM_CHANNELS}"
    if frames * channels > MAXIMUM_SAMPLES:
        return f"{frames * channels:,} samples over all channels, more than {MAXIMUM_SAMPLES:,}"
    return ""
