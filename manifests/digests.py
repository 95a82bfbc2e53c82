"""The sha256 of a file, the one digest that everything is told apart by."""

import hashlib
from pathlib import Path

from codecfake.manifests.plain_files import open_plain


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
