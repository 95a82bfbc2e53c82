"""Speech-like audio, and an AISHELL-3 corpus in which good recordings sit among corrupt ones."""

import io
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from speech import voice

from codecfake.manifests.reasons import Reason

RATE = 44_100
SPEAKER = "SSB0005"
GOOD = (
    "train/wav/SSB0005/SSB00050001.wav",
    "train/wav/SSB0005/SSB00050002.wav",
    "test/wav/SSB0016/SSB00160001.wav",
)


def encode(wave: NDArray, sample_rate: int = RATE, container: str = "WAV", subtype: str = "PCM_16") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, sample_rate, format=container, subtype=subtype)
    return buffer.getvalue()


def _contents() -> dict[str, tuple[bytes, Reason | None]]:
    wave = voice(0.5, RATE, seed=1)
    with_nan, with_infinity = wave.copy(), wave.copy()
    with_nan[100], with_infinity[200] = np.nan, np.inf
    wav, flac = encode(wave), encode(wave, container="FLAC")
    noise = np.random.default_rng(2).bytes(5_000)
    return {
        "SSB00050101.wav": (wav[:20], Reason.UNREADABLE),  # truncated header
        "SSB00050102.wav": (wav[: len(wav) // 2], Reason.TRUNCATED),
        "SSB00050103.wav": (b"", Reason.EMPTY),
        "SSB00050104.wav": (wav[:44], Reason.EMPTY),  # header only
        "SSB00050105.wav": (encode(with_nan, subtype="FLOAT"), Reason.NON_FINITE),
        "SSB00050106.wav": (encode(with_infinity, subtype="FLOAT"), Reason.NON_FINITE),
        "SSB00050107.wav": (encode(np.zeros(RATE)), Reason.SILENT),
        "SSB00050108.wav": (encode(wave, subtype="PCM_U8"), None),
        "SSB00050109.wav": (encode(wave, subtype="PCM_24"), None),
        "SSB00050110.wav": (encode(np.stack([wave, 0.5 * wave], axis=1)), None),
        "SSB00050111.wav": (encode(voice(0.5, 8_000, seed=3), 8_000), None),
        "SSB00050112.wav": (encode(voice(0.5, 96_000, seed=4), 96_000), None),
        "SSB00050113.wav": (b"This is not a recording.\n" * 40, Reason.UNREADABLE),
        "我的 录音 01.wav": (wav, Reason.BAD_NAME),
        "SSB00050116.wav": (noise, Reason.UNREADABLE),
        "SSB00050117.flac": (flac[: len(flac) // 2], Reason.TRUNCATED),
        "SSB00050118.wav": (flac, None),  # wrong extension
        "SSB00050119.wav": (encode(wave[: RATE // 20]), Reason.TOO_SHORT),
    }


def write_corrupt_corpus(root: Path) -> dict[str, Reason | None]:
    """Write an AISHELL-3 corpus of 3 good recordings and the 20 odd ones that a build must survive.

    Args:
        root: Folder to make the corpus in; ``train`` and ``test`` lie directly under it.

    Returns:
        For every listed file, its path relative to ``root`` and the reason it is to be quarantined for, None
        if it is usable.
    """
    expected: dict[str, Reason | None] = {}
    for seed, path in enumerate(GOOD, start=10):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(encode(voice(0.6, RATE, seed)))
        expected[path] = None
    folder = f"train/wav/{SPEAKER}"
    for name, (content, reason) in _contents().items():
        (root / folder / name).write_bytes(content)
        expected[f"{folder}/{name}"] = reason
    (root / folder / "SSB00050114.wav").mkdir()
    expected[f"{folder}/SSB00050114.wav"] = Reason.NOT_A_FILE
    (root / folder / "SSB00050115.wav").symlink_to("gone.wav")
    expected[f"{folder}/SSB00050115.wav"] = Reason.MISSING
    (root / "spk-info.txt").write_text("# Speaker\nSSB0005\tB\tfemale\tnorth\nSSB0016\tB\tmale \tsouth\n")
    (root / "train/content.txt").write_text("SSB00050001.wav\t你 ni3 好 hao3\n", encoding="utf-8")
    (root / "test/content.txt").write_text("SSB00160001.wav\t再 zai4 见 jian4\n", encoding="utf-8")
    return expected
