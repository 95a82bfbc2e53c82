"""Where resynthesis puts its shards."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from codecfake.pipeline.shard_store import publish_shard, shard_draft


class Sink(Protocol):
    """Where shards are written."""

    def draft(self, run_dir: Path, codec: str, shard_id: str) -> AbstractContextManager[Path]:
        """Yield a folder to write into; what is not published by the end is removed."""

    def write(self, path: Path, content: bytes) -> None:
        """Write one file of a draft."""

    def publish(
        self, draft: Path, run_dir: Path, codec: str, shard_id: str, items: Sequence[Mapping], record: Mapping
    ) -> None:
        """Check and publish a draft."""


class RunFolder:
    """The sink of a build."""

    def draft(self, run_dir: Path, codec: str, shard_id: str) -> AbstractContextManager[Path]:
        """See `shard_draft`."""
        return shard_draft(run_dir, codec, shard_id)

    def write(self, path: Path, content: bytes) -> None:
        """Write without waiting for the disk; publishing does that for the whole shard."""
        path.write_bytes(content)

    def publish(
        self, draft: Path, run_dir: Path, codec: str, shard_id: str, items: Sequence[Mapping], record: Mapping
    ) -> None:
        """See `publish_shard`."""
        publish_shard(draft, run_dir, codec, shard_id, items, record)
