"""The one label enum, and the words each file format uses for it."""

from enum import IntEnum


class Label(IntEnum):
    """Class of an utterance; the value is the class index in every network (the authors' order)."""

    BONA_FIDE = 0
    SPOOF = 1

    @property
    def published_name(self) -> str:
        """The word of Codecfake's label files: ``real`` or ``fake``."""
        return ("real", "fake")[self]

    @property
    def protocol_name(self) -> str:
        """The word of the ASVspoof protocols: ``bonafide`` or ``spoof``."""
        return ("bonafide", "spoof")[self]

    @classmethod
    def parse(cls, word: str) -> "Label":
        """Read either vocabulary.

        Raises:
            ValueError: If the word belongs to neither.
        """
        for label in cls:
            if word in (label.published_name, label.protocol_name):
                return label
        raise ValueError(f"{word!r} is no label; expected real, fake, bonafide or spoof")
