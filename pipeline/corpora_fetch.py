"""Fetching a source corpus: downloaded, verified, unpacked into the folder that the other commands take."""

import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codecfake.manifests.atomic import TEMPORARY_PREFIX, publish_text
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.archives import unpack
from codecfake.pipeline.download import download

Report = Callable[[str, int, int | None], None]
"""Called with the step ("download", "unpack"), the bytes done, and the bytes in all where these are known."""


@dataclass(frozen=True)
class RemoteCorpus:
    """Where a corpus is published.

    Attributes:
        title: Name and version.
        licence: Licence of the recordings.
        archive: File name of its archive.
        bytes: Size of the archive.
        sha256: Published checksum of the archive; None if there is none.
        urls: Addresses of the archive, the first one preferred.
        folder: Name of the unpacked folder.
        marker: A folder that every unpacked copy holds.
    """

    title: str
    licence: str
    archive: str
    bytes: int
    sha256: str | None
    urls: tuple[str, ...]
    folder: str
    marker: str


CORPORA = {
    "vctk": RemoteCorpus(
        title="VCTK 0.92",
        licence="CC BY 4.0",
        archive="VCTK-Corpus-0.92.zip",
        bytes=11_747_302_977,
        sha256="f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
        urls=("https://datashare.is.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",),
        folder="VCTK-Corpus-0.92",
        marker="wav48_silence_trimmed",
    ),
    "aishell3": RemoteCorpus(
        title="AISHELL-3",
        licence="Apache-2.0",
        archive="data_aishell3.tgz",
        bytes=19_060_000_000,
        sha256=None,
        urls=(
            "https://www.openslr.org/resources/93/data_aishell3.tgz",
            "https://openslr.elda.org/resources/93/data_aishell3.tgz",
            "https://openslr.trmal.net/resources/93/data_aishell3.tgz",
            "https://openslr.magicdatatech.com/resources/93/data_aishell3.tgz",
        ),
        folder="data_aishell3",
        marker="train",
    ),
}


def fetch_corpus(name: str, out: Path, report: Report | None = None) -> Path:
    """Download and unpack a corpus, or finish what an interrupted call began.

    The archive stays in ``out``. Where nobody published a checksum, ours is recorded as ``<archive>.sha256``.

    Args:
        name: ``vctk`` or ``aishell3``.
        out: Folder for the archive and the corpus.
        report: Called as the work goes on.

    Returns:
        The folder for ``--vctk`` or ``--aishell3``.

    Raises:
        CodecfakeError: If the corpus cannot be downloaded, verified or unpacked.
    """
    corpus = find_remote_corpus(name)
    report = report or (lambda _step, _done, _total: None)
    folder, archive = out / corpus.folder, out / corpus.archive
    if folder.is_dir():
        return folder
    record = archive.with_name(archive.name + ".sha256")
    if not (archive.is_file() and record.is_file()):
        found = download(
            corpus.urls[0],
            archive,
            sha256=corpus.sha256,
            mirrors=corpus.urls[1:],
            report=lambda done, total: report("download", done, total),
        )
        publish_text(record, f"{found}  {archive.name}\n")
    _unpack_beside(archive, folder, corpus.marker, lambda done, total: report("unpack", done, total))
    return folder


def find_remote_corpus(name: str) -> RemoteCorpus:
    """Look a corpus up by its name.

    Raises:
        CodecfakeError: If there is none of that name.
    """
    if name not in CORPORA:
        raise CodecfakeError(f"no corpus is called {name!r}", next_step=f"choose one of {', '.join(CORPORA)}")
    return CORPORA[name]


def describe_fetch(name: str, out: Path) -> list[str]:
    """Say, in lines for a person, what is fetched, how far it is verified, and what stays on the disk."""
    corpus = find_remote_corpus(name)
    archive = out / corpus.archive
    checked = (
        f"Checked against the published sha256 {corpus.sha256}."
        if corpus.sha256
        else f"Nobody published a checksum of it; ours is recorded in {archive}.sha256."
    )
    return [
        f"{corpus.title} ({corpus.licence}), {corpus.bytes / 1e9:.1f} GB from {corpus.urls[0]}",
        checked,
        f"The archive is kept; once the corpus is unpacked, its space can be freed: rm {archive}",
    ]


def _unpack_beside(
    archive: Path, folder: Path, marker: str, report: Callable[[int, int | None], None]
) -> None:
    """Unpack into a temporary sibling, then rename; what a killed call left there is unpacked anew."""
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    if temporary.exists():
        shutil.rmtree(temporary)
    try:
        unpack(archive, temporary, report)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise CodecfakeError(
            f"the disk is full: {archive.name} could not be unpacked into {folder.parent}",
            next_step="free some space and run the same command again; the archive is kept",
        ) from error
    tops = [temporary, *sorted(path for path in temporary.iterdir() if path.is_dir())]
    top = next((path for path in tops if (path / marker).is_dir()), None)
    if top is None:
        raise CodecfakeError(
            f"{archive} holds no folder {marker!r}",
            cause="it is not the archive of this corpus",
            next_step=f"move {archive} and {archive.name}.sha256 away and run the same command again",
        )
    top.rename(folder)
    if top != temporary:
        shutil.rmtree(temporary)
