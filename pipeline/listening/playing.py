"""Audio files that a browser plays: as they are where it can, else as WAV PCM_16."""

import shutil
from pathlib import Path

from codecfake.codec_adapters.resampling import to_mono
from codecfake.pipeline.audio import decode, encode_wav, to_pcm16

PLAYABLE = {
    ("WAV", "PCM_16"): "wav",
    ("WAV", "PCM_24"): "wav",
    ("FLAC", "PCM_16"): "flac",
    ("FLAC", "PCM_24"): "flac",
    ("MP3", "MPEG_LAYER_III"): "mp3",
    ("OGG", "VORBIS"): "ogg",
    ("OGG", "OPUS"): "opus",
}
"""Ending by container and coding."""


def copy_playable(source: Path, folder: Path, stem: str) -> str:
    """Copy an audio file, byte by byte where browsers play it.

    Args:
        source: Any file that libsndfile decodes.
        folder: Where the copy goes.
        stem: Its name without an ending.

    Returns:
        The name of the copy.
    """
    import soundfile

    about = soundfile.info(source)
    ending = PLAYABLE.get((about.format, about.subtype))
    if ending:
        shutil.copyfile(source, folder / f"{stem}.{ending}")
        return f"{stem}.{ending}"
    samples, sample_rate = decode(source)
    pcm, _ = to_pcm16(to_mono(samples))
    (folder / f"{stem}.wav").write_bytes(encode_wav(pcm, sample_rate))
    return f"{stem}.wav"
