"""AISHELL-3, its train and test parts pooled as Codecfake does."""

import re
from collections.abc import Iterator
from pathlib import Path

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.corpora.folders import FolderScan, locate_corpus, read_lines, scan_speaker_folders
from codecfake.pipeline.corpora.listing import CorpusListing, ListedUtterance, find
from codecfake.pipeline.corpora.naming import (
    claim_unique_ids,
    find_oddities,
    misnamed_utterance,
    name_problem,
    parse_path,
)

CORPUS = "aishell3"
PARTS = ("test", "train")
PINYIN = re.compile(r"[a-zü:]+\d", re.ASCII | re.IGNORECASE)
GENDERS = {"female": "F", "male": "M"}


def list_aishell3(root: Path) -> CorpusListing:
    """List the recordings of AISHELL-3, train and test together.

    Args:
        root: The corpus, or the folder that holds ``data_aishell3``.

    Raises:
        CodecfakeError: If the folder holds no AISHELL-3, or no recording of it.
    """
    root = locate_corpus(root, ("data_aishell3",), tuple(f"{part}/wav" for part in PARTS), CORPUS)
    present = [part for part in PARTS if (root / part / "wav").is_dir()]
    scan = FolderScan()
    texts: dict[str, str] = {}
    for part in present:
        scan += scan_speaker_folders(root, f"{part}/wav")
        texts |= _read_texts(root / part / "content.txt")
    genders = _read_genders(root / "spk-info.txt")
    utterances = claim_unique_ids(_name_recordings(scan, genders, texts))
    named = {item.utterance_id: item for item in utterances if not name_problem(item)}
    if not named:
        raise CodecfakeError(
            f"{root}: no recording of AISHELL-3 among {len(scan.recordings)} audio files",
            cause="the copy is incomplete",
            next_step=f"codecfake corpora fetch {CORPUS} --out DIR",
        )
    findings = []
    if absent := [part for part in PARTS if part not in present]:
        findings.append(find("part-missing", "Codecfake pools train and test; one is not there", absent))
    if textless := [name for name, item in named.items() if item.transcript is None]:
        findings.append(find("no-text", "recordings without a transcript: used all the same", textless))
    if unread := texts.keys() - named.keys():
        findings.append(find("text-without-audio", "lines of content.txt without a recording", unread))
    findings += find_oddities(utterances, "spk-info.txt")
    findings += scan.findings()
    return CorpusListing(CORPUS, "+".join(present), root, tuple(utterances), tuple(findings))


def _name_recordings(
    scan: FolderScan, genders: dict[str, str], texts: dict[str, str]
) -> Iterator[ListedUtterance]:
    for path in scan.recordings:
        parts = parse_path(CORPUS, path)
        if parts is None:
            yield misnamed_utterance(CORPUS, "zh", path)
            continue
        yield ListedUtterance(
            utterance_id=parts["id"],
            corpus=CORPUS,
            language="zh",
            speaker=parts["speaker"],
            gender=genders.get(parts["speaker"], ""),
            transcript=texts.get(parts["id"]),
            path=path,
        )


def _read_genders(path: Path) -> dict[str, str]:
    """Read ``spk-info.txt``: comment lines, and blanks that trail in some of its cells."""
    genders: dict[str, str] = {}
    for line in read_lines(path):
        words = line.split()
        if not line.lstrip().startswith("#") and len(words) >= 3 and words[2].lower() in GENDERS:
            genders[words[0]] = GENDERS[words[2].lower()]
    return genders


def _read_texts(path: Path) -> dict[str, str]:
    """Read ``content.txt``: a file name, then characters, nearly all followed by their pinyin."""
    texts: dict[str, str] = {}
    for line in read_lines(path):
        name, *words = line.split() or [""]
        if characters := "".join(word for word in words if not PINYIN.fullmatch(word)):
            texts[name.removesuffix(".wav")] = characters
    return texts
