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

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that is read as this label: In-the-Wild has ``bona-fide``, CodecFake ``genuine``."""
        return (("real", "bonafide", "bona-fide", "genuine"), ("fake", "spoof", "spoofing"))[self]

    @classmethod
    def parse(cls, word: str) -> "Label":
        """Read a word of any of the vocabularies.

        Raises:
            ValueError: If the word belongs to none.
        """
        for label in cls:
            if word in label.words:
                return label
        raise ValueError(f"{word!r} is no label; expected real, fake, bonafide or spoof")
