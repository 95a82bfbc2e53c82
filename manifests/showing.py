"""Text of others, such as names of files and speakers, made harmless for who reads it: in terminals and reports."""

import re
import unicodedata

UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Unicode categories of what a terminal obeys or hides: controls, directions of writing, lone surrogates."""
CREDENTIALS = re.compile(r"(?<=://)(?!USER:PASSWORD@)[^\s/@:'\"]*:(?!\d+/)[^\s'\"]+(?=@)")
"""``user:password`` of a URL; keys of S3 hold slashes, a port comes before one, and examples say USER:PASSWORD."""
UNSEEN_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What `json` leaves as it is and a terminal obeys."""
MARKDOWN_SPECIALS = str.maketrans({"<": "&lt;", "|": r"\|", "[": r"\[", "]": r"\]"})
LINE_SPECIALS = str.maketrans({"\t": r"\t", "\n": r"\n"})


def for_terminal(text: str) -> str:
    """Show what a terminal would obey instead of show, such as escape sequences; lines and tabs stay.

    Args:
        text: What is printed, one or more lines.

    Returns:
        The text with the codes of such characters instead, and without passwords of URLs.
    """
    if not text.isascii() or not text.isprintable():
        text = "".join(_visible(char) for char in text)
    return without_passwords(text)


def one_line(text: str) -> str:
    """As `for_terminal`, and line ends and tabs are shown as well: for names of files."""
    return for_terminal(text).translate(LINE_SPECIALS)


def for_markdown(text: str) -> str:
    """Escape what would be HTML, a link, a picture or another cell in Markdown; emphasis is left alone.

    Args:
        text: A cell or a part of a sentence.
    """
    return " ".join(for_terminal(text).split()).translate(MARKDOWN_SPECIALS)


def for_json(text: str) -> str:
    """Escape in JSON what a terminal would obey; what the JSON says stays the same.

    Args:
        text: JSON.
    """
    return UNSEEN_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def without_passwords(text: str) -> str:
    """Blot ``user:password`` out of every URL in a text."""
    return CREDENTIALS.sub("***", text)


def _visible(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in UNSEEN:
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
