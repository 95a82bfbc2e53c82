"""A sink that keeps nothing: what is left is the cost of reading and of the network."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class NullSink:
    """Takes the place of the disk, and keeps the size of each file in ``bytes_of``."""

    def __init__(self) -> None:
        self.bytes_of: dict[str, int] = {}

    @contextmanager
    def draft(self, run_dir: Path, codec: str, shard_id: str) -> Iterator[Path]:
        """Yield the name of a folder that is never made."""
        yield run_dir / codec / shard_id

    def write(self, path: Path, content: bytes) -> None:
        """Forget a file."""
        self.bytes_of[path.name] = len(content)

    def publish(
        self, draft: Path, run_dir: Path, codec: str, shard_id: str, items: Sequence[Mapping], record: Mapping
    ) -> None:
        """Forget a shard."""
