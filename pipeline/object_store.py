"""Object stores through `fsspec`: folders that a URL names, in S3 or wherever else it has a package for."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from codecfake.manifests.errors import CodecfakeError

if TYPE_CHECKING:
    from fsspec.implementations.dirfs import DirFileSystem

FILES_AT_ONCE = 128

Location = Path | str
"""A folder: a path of this machine, or the URL of an object store as a string."""


def located(text: str | Path) -> Location:
    """Tell a URL from a path, which becomes absolute."""
    if isinstance(text, str) and "://" in text:
        return text.rstrip("/")
    return expanded(text).absolute()


def expanded(text: str | Path) -> Path:
    """A path with the home folder in place of ``~``, where that is known."""
    with suppress(RuntimeError):
        return Path(text).expanduser()
    return Path(text)


def is_url(location: Location | None) -> bool:
    """Whether a folder is one of an object store."""
    return isinstance(location, str)


def open_store(url: str) -> "DirFileSystem":
    """Open the folder that a URL names; paths in it are relative.

    Raises:
        CodecfakeError: If there is no such kind of store, or its package is not installed.
    """
    import fsspec
    from fsspec.implementations.dirfs import DirFileSystem

    with store_errors(url):
        system, path = fsspec.url_to_fs(url, **_settings(url))
    return DirFileSystem(path, system)


def _settings(url: str) -> dict[str, Any]:
    from fsspec.config import conf

    # Other machines write there too, so what was listed before is not to be believed.
    settings: dict[str, Any] = {"use_listings_cache": False}
    if url.startswith("file:"):
        settings["auto_mkdir"] = True
    if url.startswith("s3:"):
        # By default, ten connections whatever is asked for at once; and the size of each object is asked for first,
        # to fetch large ones in parts.
        settings["max_concurrency"] = 1
        given = conf.get("s3", {}).get("config_kwargs", {})
        settings["config_kwargs"] = {"max_pool_connections": FILES_AT_ONCE, **given}
    return settings


@contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Turn what a store's package raises into an error that a person can act on."""
    try:
        yield
    except CodecfakeError:
        raise
    except ImportError as error:
        raise CodecfakeError(
            f"{url} needs a package that is not installed: {error}",
            next_step="pip install s3fs (s3://), gcsfs (gs://) or adlfs (az://)",
        ) from error
    except Exception as error:  # each package has its own
        raise CodecfakeError(
            f"{url}: {type(error).__name__}: {error}",
            cause="the bucket or folder does not exist, the store is away, or it does not let us in",
            next_step="check the URL and the credentials (for S3: AWS_PROFILE or AWS_ACCESS_KEY_ID and its secret, "
            "FSSPEC_S3_ENDPOINT_URL for stores other than Amazon's), then repeat the command",
        ) from error


def is_plain(path: str) -> bool:
    """Whether an object's name is a path that stays below its folder, on a disk too."""
    pure = PurePosixPath(path)
    return str(pure) == path and not pure.is_absolute() and not {".", ".."}.intersection(pure.parts)


def read_objects(url: str, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Read many small objects, many at once.

    Args:
        url: Folder of the store.
        paths: Relative to it. What is not there is left out, and so is what `fsspec` would take for a pattern.

    Raises:
        CodecfakeError: If the store does not answer.
    """
    from fsspec.core import has_magic

    store = open_store(url)
    wanted = [path for path in paths if not has_magic(path)]
    for first in range(0, len(wanted), FILES_AT_ONCE):
        with store_errors(url):
            found = store.cat(wanted[first : first + FILES_AT_ONCE], on_error="return")
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        for path, content in found.items():
            if isinstance(content, bytes):
                yield path, content
