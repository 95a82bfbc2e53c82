"""The settings that can be asked for by name, and what each of them does."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.conditions import coders, noise
from codecfake.pipeline.conditions.coders import AMR_NB, AMR_NB_RATES, MP3, MP3_RATES, OPUS, Coder
from codecfake.pipeline.conditions.processing import HEARD_RATE, Setting
from codecfake.pipeline.conditions.reverberation import (
    DIRECT_TO_REVERBERANT_DB,
    FIRST_REFLECTION_SECONDS,
    reverberate,
)

OPUS_RATES = range(6, 257)
SNRS = range(-10, 61)
RT60S = (0.1, 3.0)


@dataclass(frozen=True)
class Family:
    """Settings of one kind."""

    pattern: str
    """How their names look; the group is the number."""
    make: Callable[[str], Setting | None]
    """Gives the setting of a number, None for one that is out of range."""
    example: str
    range: str
    coder: Coder | None = None

    def number(self) -> str:
        """The number in the example."""
        match = re.fullmatch(self.pattern, self.example, re.ASCII)
        return match[1] if match else ""

    def unavailable(self) -> str:
        """Why no setting of this family works on this machine; empty when they do."""
        try:
            if self.coder:
                self.coder.check()
        except CodecfakeError as error:
            return str(error)
        return ""


def _coded(name: str, coder: Coder, kilobits: str, words: str) -> Setting:
    bit_rate = round(float(kilobits) * 1000)
    return Setting(
        name,
        f"{words} at {kilobits} kbit/s",
        lambda utterance: coder.through(utterance.wave, utterance.sample_rate, bit_rate),
        is_at_heard_rate=coder.rate == HEARD_RATE,
    )


def _opus(kilobits: str) -> Setting | None:
    if int(kilobits) not in OPUS_RATES:
        return None
    return _coded(f"opus{int(kilobits)}", OPUS, kilobits, "Opus (libopus, for speech, constant bit rate)")


def _mp3(kilobits: str) -> Setting | None:
    if int(kilobits) not in MP3_RATES:
        return None
    return _coded(f"mp3-{int(kilobits)}", MP3, kilobits, "MP3 (LAME, constant bit rate)")


def _amr(kilobits: str) -> Setting | None:
    kilobits = kilobits or AMR_NB_RATES[-1]
    if kilobits not in AMR_NB_RATES:
        return None
    return _coded(f"amr-nb-{kilobits}", AMR_NB, kilobits, "AMR narrow band (opencore), 8 kHz,")


def _gsm(_: str) -> Setting:
    return Setting(
        "gsm",
        "GSM 06.10 full rate at 13 kbit/s, 8 kHz",
        lambda utterance: coders.through_gsm(utterance.wave, utterance.sample_rate),
    )


def _noisy(prefix: str, words: str, draw: Callable) -> Callable[[str], Setting | None]:
    def make(snr: str) -> Setting | None:
        if int(snr) not in SNRS:
            return None
        return Setting(
            f"{prefix}-snr{int(snr)}",
            f"{words}, {int(snr)} dB below the power of the whole file",
            lambda utterance: noise.add_noise(utterance, draw(utterance), int(snr)),
            needs_other_voices=draw is noise.babble,
            is_at_heard_rate=True,
        )

    return make


def _reverb(rt60: str) -> Setting | None:
    seconds = float(rt60 or 0.4)
    if not RT60S[0] <= seconds <= RT60S[1]:
        return None
    return Setting(
        f"reverb-rt60-{seconds:g}",
        f"synthetic room of each file's own: RT60 {seconds:g} s, direct sound {DIRECT_TO_REVERBERANT_DB:g} dB "
        f"above the tail, which begins after {FIRST_REFLECTION_SECONDS * 1000:g} ms",
        lambda utterance: reverberate(utterance, seconds),
    )


_SNR = r"-snr(-?\d{1,2})"
FAMILIES = (
    Family(r"opus(\d{1,3})", _opus, "opus16", "6 to 256 kbit/s", OPUS),
    Family(r"mp3-(\d{1,3})", _mp3, "mp3-32", f"{', '.join(map(str, MP3_RATES))} kbit/s", MP3),
    Family(r"amr-nb(?:-([\d.]+))?", _amr, "amr-nb-12.2", f"{', '.join(AMR_NB_RATES)} kbit/s", AMR_NB),
    Family(r"gsm()", _gsm, "gsm", "13 kbit/s"),
    Family(f"noise{_SNR}", _noisy("noise", "white noise", noise.white), "noise-snr10", "-10 to 60 dB"),
    Family(f"pink{_SNR}", _noisy("pink", "pink noise", noise.pink), "pink-snr10", "-10 to 60 dB"),
    Family(
        f"babble{_SNR}",
        _noisy("babble", f"{noise.BABBLE_VOICES} other voices of the evaluation files", noise.babble),
        "babble-snr10",
        "-10 to 60 dB",
    ),
    Family(
        r"reverb(?:-rt60-(\d(?:\.\d{1,2})?))?",
        _reverb,
        "reverb-rt60-0.4",
        f"{RT60S[0]} to {RT60S[1]} s",
    ),
)
LEFT_OUT = (
    ("amr-wb", "the wheels of PyAV decode it, but carry no encoder"),
    ("speex", "the wheels of PyAV decode it, but carry no encoder"),
)


def parse_setting(name: str) -> Setting:
    """Read the name of a setting, and check that its encoder is there.

    Args:
        name: Such as ``opus16``; ``amr-nb`` stands for 12.2 kbit/s, ``reverb`` for an RT60 of 0.4 s.

    Raises:
        CodecfakeError: If there is no such setting, its number is out of range, or the encoder is missing.
    """
    for family in FAMILIES:
        if not (match := re.fullmatch(family.pattern, name, re.ASCII)):
            continue
        setting = family.make(match[1] or "")
        if setting is None:
            raise CodecfakeError(f"{name}: {family.example} and its like take {family.range}")
        if family.coder:
            family.coder.check()
        return replace(setting, versions=_versions(setting.name, family))
    for left_out, why in LEFT_OUT:
        if name.startswith(left_out):
            raise CodecfakeError(f"{name} cannot be made: {why}", next_step="codecfake conditions --list")
    close = get_close_matches(name, [family.example for family in FAMILIES])
    hint = f"; did you mean {close[0]}?" if close else ""
    raise CodecfakeError(
        f"there is no robustness condition {name!r}{hint}", next_step="codecfake conditions --list"
    )


def _versions(name: str, family: Family) -> dict[str, str]:
    if family.coder:
        return family.coder.versions()
    return coders.gsm_versions() if name == "gsm" else {}
