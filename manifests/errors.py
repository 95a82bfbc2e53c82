"""The error a person reads: what went wrong, where, why it is likely, and what to type next."""


class CodecfakeError(Exception):
    """A failure that the user can act on; the command line prints it without a traceback.

    Args:
        what: What went wrong and where, one sentence that names the file, row or option.
        cause: The likely cause, when it can be told.
        next_step: The next command to type or change to make.
    """

    def __init__(self, what: str, *, cause: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.what]
        if self.cause:
            lines.append(f"Likely cause: {self.cause}")
        if self.next_step:
            lines.append(f"Next: {self.next_step}")
        return "\n".join(lines)
