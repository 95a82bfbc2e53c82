"""The features of the audit, what each is called, and what cures a dataset in which it tells fakes apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

HOPS_MS = {
    "10 ms": 10.0,
    "11.6 ms": 512 / 44.1,
    "12.5 ms": 12.5,
    "13.3 ms": 320 / 24,
    "20 ms": 20.0,
    "40 ms": 40.0,
}
"""Frame lengths of neural codecs: FreqCodec, DAC at 44.1 kHz, AudioDec, EnCodec and HiFi-Codec at 24 kHz, codecs of
320 and of 640 samples at 16 kHz."""

ONE_RATE = "write all files at one sampling rate: codecfake build --sample-rate 16000, the default"
ONE_FORM = "write all files in one container and subtype: codecfake build writes WAV PCM_16 for both classes"
LENGTH = (
    "keep the length contract: every fake is cut or padded to the samples of its source, as codecfake build does; "
    "for files that are there, train and score on windows of one length"
)
LEVEL = (
    "keep the level contract: a codec gives back the level that it got, so leave --input-peak out; for files that are "
    "there, bring both classes to one level"
)
TRIM = "trim both classes by one policy, before the codec; or train on windows from random places of the file"
BANDWIDTH = (
    "write all files at one sampling rate: codecfake build --sample-rate 16000; what then remains is the codec's own "
    "band, so test on band-limited bona fide files too"
)
DC = "take the mean from the files of both classes; a detector with a high-pass filter does not see it"


@dataclass(frozen=True)
class Feature:
    """One thing that a classifier could look at instead of the speech."""

    name: str
    """Column of the measurements."""
    title: str
    unit: str
    cure: str
    scale: float = 1.0
    """What the column is multiplied by to be in the unit."""
    is_codec_trace: bool = False
    """Whether the codec's own network leaves it also where nothing is wrong with how the files were made."""
    is_category: bool = False
    """Whether the classifier asks "how many bona fide files have it" rather than "is it high or low"."""
    derive: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None = None
    """What is looked at, if not the column itself."""

    def values(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """The feature of every file, shape (N,), in its unit."""
        if self.derive:
            return self.derive(columns)
        column = columns[self.name]
        return column if self.is_category else column * self.scale


def whole_hops(hop_ms: float) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """Give what tells whether a file is a whole number of hops long, to the nearest sample: "yes" or "no"."""

    def divide(columns: Mapping[str, np.ndarray]) -> np.ndarray:
        hops = columns["seconds"] * 1000 / hop_ms
        samples_off = np.abs(hops - np.round(hops)) * hop_ms / 1000 * columns["sample_rate"]
        # A rest of half a sample, computed, may be a bit more.
        return np.where(samples_off < 0.501, "yes", "no").astype(object)

    return divide


FEATURES = (
    Feature("sample_rate", "sampling rate", "Hz", ONE_RATE, is_category=True),
    Feature("form", "file form", "", ONE_FORM, is_category=True),
    Feature("file_bytes", "file size", "kB", f"{ONE_RATE}; {ONE_FORM}; {LENGTH}", scale=1e-3),
    Feature("samples", "length", "samples", f"{ONE_RATE}; {LENGTH}"),
    Feature("seconds", "duration", "s", LENGTH),
    *(
        Feature("seconds", f"whole number of {name}", "", LENGTH, is_category=True, derive=whole_hops(ms))
        for name, ms in HOPS_MS.items()
    ),
    Feature("peak_db", "peak level", "dBFS", LEVEL),
    Feature("rms_db", "RMS level", "dBFS", LEVEL),
    Feature("dc_db", "DC offset", "dBFS", DC, is_codec_trace=True),
    Feature("leading_silence", "leading silence", "ms", TRIM, scale=1000),
    Feature("trailing_silence", "trailing silence", "ms", TRIM, scale=1000),
    Feature("bandwidth", "bandwidth", "Hz", BANDWIDTH, is_codec_trace=True),
)
