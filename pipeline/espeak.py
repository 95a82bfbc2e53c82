"""espeak-ng, a real text-to-speech engine, through the library that its wheel carries."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.espeak_worker import UNKNOWN_VOICE

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class EspeakVoice:
    """How a pseudo-speaker sounds.

    Variants with a breath (``f2``, ``f3``, ``f5``, ``Alicia``) read memory that nothing has written, and never
    sound the same twice.

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


def synthesise(text: str, voice: EspeakVoice) -> "tuple[np.ndarray, int]":
    """Speak one text, in a process of its own (about 40 ms): the same words always give the same samples.

    Args:
        text: The words, in the language of the voice.
        voice: The speaker.

    Returns:
        The wave, float32 in [-1, 1], shape (T,), and its sample rate in Hz.

    Raises:
        CodecfakeError: espeak-ng is not installed, does not start, or does not know the voice.
    """
    import numpy as np

    require_espeak()
    worker = Path(__file__).with_name("espeak_worker.py")
    done = subprocess.run(
        [sys.executable, "-P", str(worker)],  # -P: this folder's modules must not hide the standard library's
        input=json.dumps({"text": text, **asdict(voice)}).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode == UNKNOWN_VOICE:
        raise CodecfakeError(f"espeak-ng has no voice named {voice.name!r}")
    if done.returncode != 0:
        raise CodecfakeError(
            f"espeak-ng failed with exit code {done.returncode} on {text!r}",
            cause=done.stderr.decode(errors="replace").strip()[-300:]
            or "its data folder is damaged or too deep",
            next_step="pip install --force-reinstall espeakng-loader",
        )
    sample_rate = int.from_bytes(done.stdout[:4], "little")
    return np.frombuffer(done.stdout, dtype="<i2", offset=4).astype(np.float32) / 32768, sample_rate


def require_espeak() -> None:
    """Make sure that the speech engine is there.

    Raises:
        CodecfakeError: espeakng_loader is not installed.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        raise CodecfakeError(
            "the demonstration corpora need the espeak-ng speech engine, which is not installed",
            cause="it is an optional dependency, because espeak-ng is licensed under the GPL-3.0",
            next_step="pip install 'codecfake[demo]'",
        )
