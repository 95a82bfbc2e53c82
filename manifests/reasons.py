"""Why an utterance is not part of the dataset: the closed list of reason codes."""

from enum import StrEnum


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
