"""espeak-ng, a real text-to-speech engine, driven through the library that its wheel carries."""

import ctypes
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codecfake.manifests.errors import CodecfakeError

if TYPE_CHECKING:
    import numpy as np

_SYNCHRONOUS_MODE = 2  # the asynchronous mode runs threads that deadlock after some hundred restarts
_NO_EXIT_ON_ERROR = 0x8000
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_LOCK = threading.Lock()  # the engine keeps its state in global variables


@dataclass(frozen=True)
class EspeakVoice:
    """How a pseudo-speaker sounds.

    Args:
        name: Language and variant, such as ``en-gb-x-rp+m7``.
        words_per_minute: Speaking rate.
        pitch: Base pitch, 0-99.
        pitch_range: Liveliness of the intonation, 0-99.
    """

    name: str
    words_per_minute: int = 165
    pitch: int = 50
    pitch_range: int = 50


def _load_library() -> tuple[ctypes.CDLL, str]:
    """Load the engine and tell where its data lie."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise CodecfakeError(
            "the demonstration corpora need the espeak-ng speech engine, which is not installed",
            cause="it is an optional dependency, because espeak-ng is licensed under the GPL-3.0",
            next_step="pip install 'codecfake[demo]'",
        ) from error
    return ctypes.CDLL(espeakng_loader.get_library_path()), espeakng_loader.get_data_path()


def synthesise(text: str, voice: EspeakVoice) -> "tuple[np.ndarray, int]":
    """Speak one text.

    The engine is started anew for every call: what it says depends on what it said before otherwise.

    Args:
        text: The words, in the language of the voice.
        voice: The speaker.

    Returns:
        The wave, float32 in [-1, 1], shape (T,), and its sample rate in Hz.

    Raises:
        CodecfakeError: espeak-ng is not installed, does not start, or does not know the voice.
    """
    import numpy as np

    pieces: list[bytes] = []
    callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

    def collect(samples: Any, count: int, _events: Any) -> int:
        if count > 0 and samples:
            pieces.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = callback_type(collect)
    encoded = text.encode() + b"\0"
    with _LOCK:
        library, data_path = _load_library()
        sample_rate = library.espeak_Initialize(_SYNCHRONOUS_MODE, 0, data_path.encode(), _NO_EXIT_ON_ERROR)
        if sample_rate <= 0:
            raise CodecfakeError(
                f"espeak-ng does not start with its data in {data_path}",
                cause="the wheel is damaged, or the path is too long for the engine",
                next_step="pip install --force-reinstall espeakng-loader",
            )
        try:
            if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
                raise CodecfakeError(f"espeak-ng has no voice named {voice.name!r}")
            library.espeak_SetParameter(_RATE, voice.words_per_minute, 0)
            library.espeak_SetParameter(_PITCH, voice.pitch, 0)
            library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)
            library.espeak_SetSynthCallback(callback)
            library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 0, 0, _UTF8, None, None)
            library.espeak_Synchronize()
        finally:
            library.espeak_Terminate()
    return np.frombuffer(b"".join(pieces), dtype="<i2").astype(np.float32) / 32768, int(sample_rate)
