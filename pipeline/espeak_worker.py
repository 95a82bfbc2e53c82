"""Speak one text: JSON on standard input, sample rate (4 bytes, little-endian) and 16-bit samples on standard output.

A program of its own, with the standard library and espeakng_loader alone. espeak-ng keeps what it said in global
variables, which even its own restart does not clear: only a fresh process says the same thing the same way.
"""

import ctypes
import json
import sys

NO_ENGINE, UNKNOWN_VOICE = 3, 4
"""Exit codes."""

_SYNCHRONOUS_MODE = 2
_NO_EXIT_ON_ERROR = 0x8000
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def main() -> int:
    """Do one job, and return the exit code."""
    import espeakng_loader

    job = json.load(sys.stdin)
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data_path = espeakng_loader.get_data_path().encode()
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS_MODE, 0, data_path, _NO_EXIT_ON_ERROR)
    if sample_rate <= 0:
        return NO_ENGINE
    if library.espeak_SetVoiceByName(job["name"].encode()) != 0:
        return UNKNOWN_VOICE
    for parameter, value in ((_RATE, "words_per_minute"), (_PITCH, "pitch"), (_RANGE, "pitch_range")):
        library.espeak_SetParameter(parameter, job[value], 0)
    pieces: list[bytes] = []

    def collect(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    text = job["text"].encode() + b"\0"
    library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 0, 0, _UTF8, None, None)
    sys.stdout.buffer.write(sample_rate.to_bytes(4, "little") + b"".join(pieces))
    return 0


if __name__ == "__main__":
    sys.exit(main())
