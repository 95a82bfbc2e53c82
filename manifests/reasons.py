"""Why an utterance is not part of the dataset: the closed list of reason codes."""

from difflib import get_close_matches
from enum import StrEnum

from codecfake.manifests.errors import CodecfakeError


class Reason(StrEnum):
    """Reason code of a quarantined utterance."""

    MISSING = "missing"
    NOT_A_FILE = "not-a-file"
    BAD_NAME = "bad-name"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    TOO_SHORT = "too-short"
    NON_FINITE = "non-finite"
    SILENT = "silent"
    SOURCE_CHANGED = "source-changed"
    CODEC_ERROR = "codec-error"
    CODEC_NON_FINITE = "codec-non-finite"
    CODEC_SILENT = "codec-silent"
    OUT_OF_MEMORY = "out-of-memory"
    DAMAGED = "damaged"

    @classmethod
    def parse(cls, code: str) -> "Reason":
        """Read a reason code.

        Raises:
            CodecfakeError: If there is no such code; close matches are named.
        """
        try:
            return cls(code)
        except ValueError:
            close = get_close_matches(code, list(cls))
            hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(cls)}"
            raise CodecfakeError(f"there is no reason code {code!r}; {hint}") from None
