"""The error of this layer."""


class CodecError(Exception):
    """A codec that is unknown, cannot be loaded, or broke its contract; the message says which and why."""
