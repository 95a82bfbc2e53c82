"""What audio is called in layouts whose readers tell a format by the ending: mirrors hold FLAC that lists call WAV."""

import re

ENDING = re.compile(r"\.(wav|flac|ogg|opus|mp3)$", re.IGNORECASE)


def stem_of(file: str) -> str:
    """A file name of the lists without the ending of audio, if it has one."""
    return ENDING.sub("", file)


def ending_of(path: str) -> str:
    """Ending of the file itself: ``.wav`` or ``.flac``."""
    found = ENDING.search(path)
    return found[0].lower() if found else ""


def audio_name(file: str, path: str) -> str:
    """Name of the lists with the ending of the file itself."""
    return stem_of(file) + ending_of(path)
