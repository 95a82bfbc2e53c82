"""Listing a corpus that lies in an object store: by its names and its text files, without its audio."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from codecfake.manifests.atomic import publish_text
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.object_store import Location, is_plain, is_url, open_store, read_objects, store_errors
from codecfake.pipeline.staging import write_files

TEXT_SUFFIX = ".txt"


def list_located(root: Location, read: Callable[[Path], CorpusListing]) -> CorpusListing:
    """List a corpus on a disk or in an object store.

    For one in a store, the reader gets a folder of empty files with the names that are there, and the real text files.

    Args:
        root: Folder or URL of the corpus.
        read: Lists a corpus that lies in a folder.

    Returns:
        The listing; its root is the folder or URL that its paths are relative to.

    Raises:
        CodecfakeError: If the store does not answer, or what ``read`` raises.
    """
    if not is_url(root):
        return read(root)
    versions = _list_objects(root)
    with TemporaryDirectory(prefix="codecfake-") as temporary:
        folder = Path(temporary) / PurePosixPath(root).name
        folder.mkdir()
        write_files(folder, ((path, b"") for path in versions))
        write_files(folder, _read_texts(root, versions))
        try:
            listing = read(folder)
        except CodecfakeError as error:
            raise CodecfakeError(
                error.what.replace(str(folder), root), cause=error.cause, next_step=error.next_step
            ) from error
        inner = listing.root.relative_to(folder).as_posix()
    return replace(listing, root=root if inner == "." else f"{root}/{inner}")


def _list_objects(root: str) -> dict[str, str]:
    """Path of every object, and what changes when the object does."""
    from fsspec.utils import tokenize

    with store_errors(root):
        found = open_store(root).find("", detail=True)
    if not found:
        raise CodecfakeError(
            f"{root} holds nothing",
            cause="the URL is mistyped, or the corpus was not uploaded yet",
            next_step="give the URL of the folder that holds the corpus, such as s3://bucket/VCTK-Corpus-0.92",
        )
    folders = {str(folder) for path in found for folder in PurePosixPath(path).parents}
    # A store may hold an object by the name of a folder; a disk cannot.
    return {path: tokenize(info) for path, info in found.items() if is_plain(path) and path not in folders}


def _read_texts(root: str, versions: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Give the text files: VCTK has 44,000, so those that are as they were come from a cache of this machine."""
    from platformdirs import user_cache_dir

    name = hashlib.sha256(root.encode()).hexdigest()[:16]
    cache = Path(user_cache_dir("codecfake")) / "corpus-texts" / f"{name}.json"
    known: dict[str, list[str]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(cache.read_text(encoding="utf-8"))
    wanted = {path: version for path, version in versions.items() if path.lower().endswith(TEXT_SUFFIX)}
    kept = {path: known[path] for path in wanted if path in known and known[path][0] == wanted[path]}
    fetched = read_objects(root, (path for path in wanted if path not in kept))
    new = {path: [wanted[path], content.decode("latin-1")] for path, content in fetched}
    if new or kept != known:
        publish_text(cache, json.dumps(kept | new))
    for path, (_, text) in (kept | new).items():
        yield path, text.encode("latin-1")
