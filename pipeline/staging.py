"""Files of corpora in an object store, fetched into a temporary folder for as long as somebody works on them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from codecfake.pipeline.object_store import Location, is_plain, is_url, read_objects


@contextmanager
def staged(
    roots: Mapping[str, Location], utterances: Iterable[tuple[str, str]]
) -> Iterator[Mapping[str, Path]]:
    """Yield a local folder for each corpus, which holds at least these utterances; local corpora stay where they are.

    Args:
        roots: Folder or URL of each corpus.
        utterances: Corpus and path of each; what the store does not hold is missing in the folder, too.

    Raises:
        CodecfakeError: If a store does not answer.
    """
    if not any(map(is_url, roots.values())):
        yield roots
        return
    wanted: dict[str, list[str]] = defaultdict(list)
    for corpus, path in utterances:
        if is_url(roots[corpus]) and is_plain(path):
            wanted[corpus].append(path)
    with TemporaryDirectory(prefix="codecfake-") as folder:
        local = {corpus: Path(folder) / corpus if is_url(root) else root for corpus, root in roots.items()}
        for corpus, paths in wanted.items():
            write_files(local[corpus], read_objects(roots[corpus], paths))
        yield local


def write_files(folder: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write files, and the folders that they lie in, by their paths relative to ``folder``."""
    for path, content in contents:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
