"""Bytes that were right once: cut off, overwritten, repeated, with other bytes in between."""

from hypothesis import strategies as st

TELLING = [b"\0", b"\xff", b"\x7f", b"\x80", b"\n", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"[" * 5_000]


@st.composite
def damaged(draw: st.DrawFn, *originals: bytes, most: int = 4) -> bytes:
    """One of the originals after one to ``most`` accidents."""
    content = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, min(64, len(content) - at)))
        new = draw(st.sampled_from(TELLING) | st.binary(max_size=16))
        match draw(st.sampled_from(["cut", "overwrite", "replace", "repeat"])):
            case "cut":
                content = content[:at]
            case "overwrite":
                content = content[:at] + new + content[at + len(new) :]
            case "replace":
                content = content[:at] + new + content[at + length :]
            case "repeat":
                content = content[: at + length] + content[at:]
    return content
