"""Telling that memory ran out, in all the ways in which libraries say so."""

SIGNS_OF_FULL_MEMORY = (
    "out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "find an engine",
)
"""In messages of CUDA's libraries, which fail in ways of their own where their workspace does not fit."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of a network run means that the device's or the host's memory is full."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS_OF_FULL_MEMORY)
