"""Where resynthesis puts its shards."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codecfake.manifests.atomic import temporary_sibling
from codecfake.pipeline.run_store import push_shard
from codecfake.pipeline.shard_store import publish_shard, shard_draft, shard_path


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


@dataclass(frozen=True)
class StoredRunFolder(RunFolder):
    """The sink of a build whose shards go to an object store, too."""

    store: str
    """URL."""
    keep_local: bool
    """Whether a shard stays in the run folder once it is in the store."""

    def publish(
        self, draft: Path, run_dir: Path, codec: str, shard_id: str, items: Sequence[Mapping], record: Mapping
    ) -> None:
        """Publish a draft here, then there."""
        super().publish(draft, run_dir, codec, shard_id, items, record)
        shard = shard_path(run_dir, codec, shard_id)
        push_shard(self.store, shard)
        if not self.keep_local:
            condemned = temporary_sibling(shard)
            shard.rename(condemned)  # at no time is there half a shard
            shutil.rmtree(condemned)
