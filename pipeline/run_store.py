"""A run in an object store, which machines without a shared folder share: each keeps a run folder of its own.

``shards/<codec>/<id>/`` holds the audio in one tar, the rows, and, written last, ``shard.json``. Tar and rows are named
by the digest of the rows, which name that of every file: two machines that publish one shard never mix theirs.
"""

import re
import tarfile
import wave
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from codecfake.manifests.atomic import TEMPORARY_PREFIX, published
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.paths import ESCAPING_NAME
from codecfake.manifests.records import parse_json
from codecfake.pipeline.config import SAVED_AS as CONFIG
from codecfake.pipeline.fingerprint import SAVED_AS as STAMP
from codecfake.pipeline.fingerprint import read_stamp
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.object_store import is_plain, open_store, store_errors
from codecfake.pipeline.shard_store import (
    AUDIO,
    ITEMS,
    RECORD,
    SHARDS,
    ShardDamaged,
    is_published,
    publish_shard,
    published_shards,
    read_record,
    read_shard_items,
    shard_draft,
    shard_path,
)
from codecfake.pipeline.source import CHECKSUMS_SUFFIX, RETRIES, SOURCE

TRANSFERS = 4
"""Shards under way at once; each is some 60 MB."""

ShardName = tuple[str, str]
"""Codec and id."""


def adopt_run(store: str, run_dir: Path) -> None:
    """Take over what a store holds of a run, except its shards, into a new run folder.

    Raises:
        CodecfakeError: If the run folder holds another run than the store.
    """
    with store_errors(store):
        remote = open_store(store)
        if not remote.exists(STAMP):
            return
        stamp, source = parse_json(remote.cat_file(STAMP), f"{store}/{STAMP}"), remote.cat_file(SOURCE)
    if not isinstance(stamp, dict) or not isinstance(stamp.get("digest"), str):
        raise CodecfakeError(
            f"{store}/{STAMP} is damaged: it does not tell which run that is",
            cause="it was changed since it was written, or the store holds something else",
            next_step=f"copy {STAMP} from a run folder that is shared there, or give another --store",
        )
    is_run = (run_dir / STAMP).is_file()
    if not is_run and any(not entry.name.startswith(".") for entry in run_dir.iterdir()):
        return  # the build refuses it
    if is_run and read_stamp(run_dir)["digest"] != stamp["digest"]:
        raise _other_run(store, run_dir, "a run of another configuration")
    if (run_dir / SOURCE).is_file() and (run_dir / SOURCE).read_bytes() != source:
        raise _other_run(store, run_dir, "a run of another source manifest")
    fetch_papers(store, run_dir)


def _other_run(store: str, run_dir: Path, what: str) -> CodecfakeError:
    return CodecfakeError(
        f"{store} holds {what} than {run_dir}",
        next_step="give another --store for this run, or a new --out to go on with the one in the store",
    )


def fetch_papers(store: str, run_dir: Path) -> None:
    """Fetch what a run folder holds beside shards and splits: configuration, source manifest, retries."""
    with store_errors(store):
        remote = open_store(store)
        beside = [Path(SOURCE).with_suffix(suffix).name for suffix in (".csv", CHECKSUMS_SUFFIX)]
        found = [CONFIG, SOURCE, *beside, *remote.find(RETRIES)]
        for path in [*found, STAMP]:
            if is_plain(path) and remote.exists(path):
                with published(run_dir / path) as temporary:
                    remote.get_file(path, str(temporary))


@contextmanager
def worker_folder(run_dir: Path, store: str | None) -> Iterator[Path]:
    """Yield the run folder that a worker on another machine works in: a temporary one where there is a store."""
    if store is None:
        yield run_dir
        return
    with TemporaryDirectory(prefix="codecfake-") as folder:
        fetch_papers(store, Path(folder))
        yield Path(folder)


def push_papers(store: str, run_dir: Path) -> None:
    """Put there what `fetch_papers` fetches; last what tells that it is all there."""
    found = [run_dir / CONFIG, *run_dir.glob(f"{Path(SOURCE).stem}.*"), *(run_dir / RETRIES).rglob("*.*")]
    with store_errors(store):
        remote = open_store(store)
        for path in [*found, run_dir / STAMP]:
            remote.put_file(str(path), path.relative_to(run_dir).as_posix())


def share_run(store: str, run_dir: Path, monitor: Monitor) -> None:
    """Make a store and a run folder equal: what either lacks it gets from the other.

    Args:
        store: URL.
        run_dir: A run folder with its source manifest.
        monitor: Told about the progress.

    Raises:
        CodecfakeError: If the store does not answer, or a shard in it is damaged.
        Stopped: If the user asked to stop.
    """
    push_papers(store, run_dir)
    there = stored_shards(store)
    here = {(shard.parent.name, shard.name) for shard in published_shards(run_dir)}

    def push(name: ShardName) -> None:
        monitor.raise_if_stopped()
        push_shard(store, shard_path(run_dir, *name))
        monitor.advance(1)

    def pull(name: ShardName) -> None:
        monitor.raise_if_stopped()
        _pull_shard(store, run_dir, *name)
        monitor.advance(1)

    for what, todo, transfer in (("Uploading", here - there, push), ("Fetching", there - here, pull)):
        if todo:
            monitor.begin(f"{what} published shards", len(todo), "shards")
            with ThreadPoolExecutor(TRANSFERS) as pool:
                list(pool.map(transfer, sorted(todo)))
            monitor.end()


def stored_shards(store: str) -> set[ShardName]:
    """Codec and id of every shard that a store holds, whole."""
    with store_errors(store):
        found = open_store(store).glob(f"{SHARDS}/*/*/{RECORD}")
    return {tuple(path.split("/")[1:3]) for path in found if is_plain(path)}


def pull_shards(store: str, run_dir: Path) -> None:
    """Fetch the shards that the run folder lacks."""
    missing = [name for name in sorted(stored_shards(store)) if not is_published(run_dir, *name)]
    with ThreadPoolExecutor(TRANSFERS) as pool:
        list(pool.map(lambda name: _pull_shard(store, run_dir, *name), missing))


def push_shard(store: str, shard: Path) -> None:
    """Upload a published shard; ``shard.json`` goes last, so that what the store shows is whole."""
    audio, items, place = _names(read_record(shard), shard.parent.name, shard.name)
    # Named as a draft: the next build removes what a killed one leaves.
    with store_errors(store), TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=shard.parent) as folder:
        packed = Path(folder) / f"{AUDIO}.tar"
        _pack(shard / AUDIO, packed)
        remote = open_store(store)
        remote.put_file(str(packed), audio)
        remote.put_file(str(shard / ITEMS), items)
        remote.pipe_file(place, (shard / RECORD).read_bytes())


def _pull_shard(store: str, run_dir: Path, codec: str, shard_id: str) -> None:
    """Fetch a shard and publish it here, checked file by file."""
    remote = open_store(store)
    place = f"{SHARDS}/{codec}/{shard_id}/{RECORD}"
    with shard_draft(run_dir, codec, shard_id) as draft:
        packed = draft / f"{AUDIO}.tar"
        with store_errors(store):
            record = parse_json(remote.cat_file(place), f"{store}/{place}")
        try:
            audio, items, _ = _names(record, codec, shard_id)
            with store_errors(store):
                remote.get_file(items, str(draft / ITEMS))
                remote.get_file(audio, str(packed))
            if file_sha256(draft / ITEMS) != record["items_sha256"]:
                raise ShardDamaged(f"{items} is not what {RECORD} names")
            rows = _read_rows(draft, items)
            _unpack(packed, draft / AUDIO, {row["file"] for row in rows if row["reason"] is None})
            packed.unlink()
            publish_shard(draft, run_dir, codec, shard_id, rows, _without_counts(record))
        except (ShardDamaged, LookupError, TypeError, ValueError, tarfile.TarError, wave.Error) as error:
            raise CodecfakeError(
                f"{store}/{place} is damaged: {error}",
                next_step=f"remove that {RECORD} from the store and repeat the command; the shard is made again",
            ) from error


def _read_rows(draft: Path, items: str) -> list[dict[str, Any]]:
    try:
        return read_shard_items(draft).to_pylist()
    except CodecfakeError as error:
        raise ShardDamaged(error.what.replace(str(draft / ITEMS), items)) from error


def _without_counts(record: Mapping[str, Any]) -> dict[str, Any]:
    """What `publish_shard` does not find out itself."""
    counted = ("codec", "shard", "utterances", "published", "items_sha256")
    return {key: value for key, value in record.items() if key not in counted}


def _names(record: Mapping[str, Any], codec: str, shard_id: str) -> tuple[str, str, str]:
    """Names of a shard's objects: audio, rows, record."""
    folder, digest = f"{SHARDS}/{codec}/{shard_id}", record["items_sha256"][:16]
    if not re.fullmatch("[0-9a-f]{16}", digest):
        raise ShardDamaged(f"{digest!r} is no digest")
    return f"{folder}/{AUDIO}-{digest}.tar", f"{folder}/items-{digest}.parquet", f"{folder}/{RECORD}"


def _unpack(packed: Path, folder: Path, names: Collection[str]) -> None:
    """Take the named files out of a tar of `_pack`; one that holds anything else is damaged."""
    with tarfile.open(packed, "r:") as archive:
        for member in archive:
            is_file = member.isreg() and not member.issparse()
            if not is_file or member.name not in names or re.search(ESCAPING_NAME, member.name):
                raise ShardDamaged(f"{packed.name} holds {member.name!r}, which is no file of the shard")
            archive.extract(member, folder, filter="data")


def _pack(folder: Path, packed: Path) -> None:
    """Put files into a tar whose bytes follow from theirs."""
    with tarfile.open(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            member = tarfile.TarInfo(path.name)
            member.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(member, file)
