"""Telephone and streaming codecs: encode, decode, and bring back to place, rate, length and scale."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from codecfake.codec_adapters.resampling import Wave, fit_length, resample
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.audio import decode, to_pcm16
from codecfake.pipeline.conditions.processing import HEARD_RATE

if TYPE_CHECKING:
    import av

INSTALL = "pip install 'codecfake[conditions]'"


@dataclass(frozen=True)
class Coder:
    """A codec of PyAV (FFmpeg), through a container of its own that carries the encoder's delay where it can."""

    encoder: str
    """FFmpeg's name of it."""
    container: str
    rate: int
    """In Hz, the same for files of every rate."""
    delay: int = 0
    """Samples at the coder's rate by which the decoded audio lags, where the container does not tell."""
    gain: float = 1.0
    """What undoes the scale that the encoder puts on."""
    options: dict[str, str] = field(default_factory=dict)

    def through(self, wave: Wave, sample_rate: int, bit_rate: int) -> Wave:
        """Encode and decode.

        Args:
            wave: Shape (T,).
            sample_rate: Its rate in Hz.
            bit_rate: In bit/s.

        Returns:
            Shape (T,), in place: the delay of the encoder is taken off.
        """
        there = resample(wave, sample_rate, self.rate)
        pcm, _ = to_pcm16(np.pad(there, (0, self.delay)))
        decoded, decoded_rate = self._decode(self._encode(pcm, bit_rate))
        start, samples = (count * decoded_rate // self.rate for count in (self.delay, len(there)))
        decoded = fit_length(decoded[start:], samples)
        return fit_length(resample(decoded, decoded_rate, sample_rate), len(wave)) * np.float32(self.gain)

    def check(self) -> None:
        """Refuse a machine that lacks the encoder.

        Raises:
            CodecfakeError: If PyAV is not installed, or was built without this encoder.
        """
        if find_spec("av") is None:
            raise CodecfakeError(f"{self.encoder} needs PyAV, which is not installed", next_step=INSTALL)
        import av

        try:
            av.Codec(self.encoder, "w")
        except (av.FFmpegError, ValueError) as error:  # one that is not known is a ValueError
            raise CodecfakeError(
                f"this PyAV {av.__version__} has no encoder {self.encoder}",
                cause="it was built against an FFmpeg without it; the wheels of PyPI have it",
                next_step=INSTALL,
            ) from error

    def versions(self) -> dict[str, str]:
        """Versions of PyAV and of FFmpeg's codecs."""
        import av

        return {
            "av": av.__version__,
            "libavcodec": ".".join(map(str, av.library_versions["libavcodec"])),
        }

    def _encode(self, pcm: np.ndarray, bit_rate: int) -> bytes:
        import av

        buffer = io.BytesIO()
        with av.open(buffer, "w", format=self.container) as out:
            stream = out.add_stream(self.encoder, rate=self.rate, options=self.options)
            stream.codec_context.layout = "mono"
            stream.bit_rate = bit_rate
            form = stream.codec_context.codec.audio_formats[0].name
            frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = self.rate, 0
            for part in [*av.AudioResampler(form, "mono", self.rate).resample(frame), None]:
                out.mux(stream.encode(part))
        return buffer.getvalue()

    def _decode(self, content: bytes) -> tuple[Wave, int]:
        import av

        with av.open(io.BytesIO(content), format=None) as file:
            rate = file.streams.audio[0].rate
            waves = list(_mono_floats(file))
        return np.concatenate(waves) if waves else np.zeros(0, np.float32), rate


def _mono_floats(file: "av.container.InputContainer") -> Iterator[Wave]:
    import av

    to_float = av.AudioResampler("flt", "mono")
    for frame in file.decode(audio=0):
        for part in to_float.resample(frame):
            yield part.to_ndarray()[0]


# Below 12 kbit/s Opus works at 8 kHz inside, and comes out 0.1 ms late (1 to 2 samples of 16 kHz); above in place.
OPUS = Coder("libopus", "ogg", HEARD_RATE, options={"application": "voip", "vbr": "off"})
# LAME turns everything down to 0.95 before it encodes.
MP3 = Coder("libmp3lame", "mp3", HEARD_RATE, gain=1 / 0.95)
# 5 ms of look-ahead, which the container does not tell.
AMR_NB = Coder("libopencore_amrnb", "amr", 8_000, delay=40)
AMR_NB_RATES = ("4.75", "5.15", "5.9", "6.7", "7.4", "7.95", "10.2", "12.2")
"""In kbit/s."""
MP3_RATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160)
"""In kbit/s, those that MPEG-1 and MPEG-2 share."""

GSM_RATE = 8_000


def through_gsm(wave: Wave, sample_rate: int) -> Wave:
    """Encode and decode with GSM 06.10 full rate (13 kbit/s), as libsndfile has it.

    Args:
        wave: Shape (T,).
        sample_rate: Its rate in Hz.

    Returns:
        Shape (T,); the codec has no delay.
    """
    import soundfile

    pcm, _ = to_pcm16(resample(wave, sample_rate, GSM_RATE))
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, GSM_RATE, format="WAV", subtype="GSM610")
    decoded, _ = decode(buffer.getvalue())
    return fit_length(resample(fit_length(decoded[:, 0], len(pcm)), GSM_RATE, sample_rate), len(wave))


def gsm_versions() -> dict[str, str]:
    """Versions of soundfile and its libsndfile."""
    import soundfile

    return {"soundfile": version("soundfile"), "libsndfile": soundfile.__libsndfile_version__}
