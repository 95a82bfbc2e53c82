"""VCTK 0.92 (FLAC, two microphones) and 0.80 (WAV, the one Codecfake was made from), read by name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.corpora.folders import FolderScan, locate_corpus, read_lines, scan_speaker_folders
from codecfake.pipeline.corpora.listing import CorpusListing, Finding, ListedUtterance, find, printable
from codecfake.pipeline.corpora.naming import (
    claim_unique_ids,
    find_oddities,
    misnamed_utterance,
    name_problem,
    parse_path,
)

Microphone = Literal["mic1", "mic2"]

CORPUS = "vctk"
AUDIO_FOLDERS = {"0.92": "wav48_silence_trimmed", "0.80": "wav48"}


def list_vctk(root: Path, microphone: Microphone = "mic1") -> CorpusListing:
    """List the recordings of VCTK; which version it is follows from its folders.

    Args:
        root: The corpus, or the folder that holds ``VCTK-Corpus-0.92`` or ``VCTK-Corpus``.
        microphone: Which recordings of 0.92 to take; 0.80 has only what 0.92 calls ``mic1``.

    Raises:
        CodecfakeError: If the folder holds no VCTK, or no recording of that microphone.
    """
    root = locate_corpus(root, ("VCTK-Corpus-0.92", "VCTK-Corpus"), tuple(AUDIO_FOLDERS.values()), CORPUS)
    version = next(name for name, folder in AUDIO_FOLDERS.items() if (root / folder).is_dir())
    if version == "0.80" and microphone == "mic2":
        raise CodecfakeError(f"{root}: VCTK 0.80 has no mic2 recordings", next_step="take mic1, or VCTK 0.92")
    scan = scan_speaker_folders(root, AUDIO_FOLDERS[version])
    genders = _read_genders(root / "speaker-info.txt")
    texts = _read_texts(root / "txt")
    utterances = claim_unique_ids(_name_recordings(scan, microphone, genders, texts))
    named = {item.utterance_id: item for item in utterances if not name_problem(item)}
    if not named:
        raise CodecfakeError(
            f"{root}: no {microphone} recording of VCTK {version} among {len(scan.recordings)} audio files",
            cause="the copy is incomplete, or holds only the other microphone",
            next_step=f"codecfake corpora fetch {CORPUS} --out DIR",
        )
    findings = [*_find_microphone_gaps(scan, microphone), *_find_text_gaps(named, texts, microphone)]
    if s5 := [name for name, item in named.items() if item.speaker == "s5"]:
        findings.append(find("s5-only-in-0.92", "s5 is not in VCTK 0.80, nor in the published Codecfake", s5))
    if version == "0.92" and (root / AUDIO_FOLDERS["0.80"]).is_dir():
        findings.append(find("both-versions", "the audio of VCTK 0.80 is there too: not read", ["wav48"]))
    findings += find_oddities(utterances, "speaker-info.txt")
    findings += scan.findings()
    label = f"{version} {microphone}" if version == "0.92" else version
    return CorpusListing(CORPUS, label, root, tuple(utterances), tuple(findings))


def _name_recordings(
    scan: FolderScan, microphone: str, genders: dict[str, str], texts: dict[str, str]
) -> Iterator[ListedUtterance]:
    for path in scan.recordings:
        parts = parse_path(CORPUS, path)
        if parts is None:
            yield misnamed_utterance(CORPUS, "en", path)
        elif parts.get("microphone", microphone) == microphone:
            yield ListedUtterance(
                utterance_id=parts["id"],
                corpus=CORPUS,
                language="en",
                speaker=parts["speaker"],
                gender=genders.get(parts["speaker"], ""),
                transcript=texts.get(parts["id"]),
                path=path,
            )


def _read_genders(path: Path) -> dict[str, str]:
    """Read ``speaker-info.txt``: columns of any width, ids with (0.92) or without (0.80) their ``p``."""
    genders: dict[str, str] = {}
    for line in read_lines(path):
        words = line.split()
        gender = next((word for word in words[1:3] if word in ("F", "M")), "")
        if gender:
            genders[f"p{words[0]}" if words[0].isdecimal() else words[0]] = gender
    return genders


def _read_texts(folder: Path) -> dict[str, str]:
    """Read ``txt/<speaker>/<id>.txt``; an empty file counts as no transcript."""
    texts: dict[str, str] = {}
    for path in sorted(folder.glob("*/*.txt")):
        if text := " ".join(" ".join(read_lines(path)).split()):
            texts[printable(path.stem)] = text
    return texts


def _find_microphone_gaps(scan: FolderScan, microphone: str) -> Iterator[Finding]:
    speakers: dict[str, set[str]] = {"mic1": set(), "mic2": set()}
    not_taken: list[str] = []
    for path in scan.recordings:
        parts = parse_path(CORPUS, path)
        if parts and "microphone" in parts:
            speakers[parts["microphone"]].add(parts["speaker"])
            if parts["microphone"] != microphone:
                not_taken.append(path)
    without_mic2 = speakers["mic1"] - speakers["mic2"]
    if "p280" in without_mic2:
        yield find("p280-no-mic2", "p280 has no mic2 recordings: known, that microphone failed", ["p280"])
    if speakers["mic2"] and (rest := without_mic2 - {"p280"}):
        yield find("no-mic2", "speakers with mic1 recordings only (mic2 had problems with p315 too)", rest)
    if not_taken:
        yield find("other-microphone", f"recordings of the microphone that is not {microphone}", not_taken)


def _find_text_gaps(
    named: Mapping[str, ListedUtterance], texts: Mapping[str, str], microphone: str
) -> Iterator[Finding]:
    without_text = [name for name, item in named.items() if item.transcript is None]
    if p315 := [name for name in without_text if named[name].speaker == "p315"]:
        yield find("p315-no-text", "p315 has no transcripts: known, lost in a disk error", p315)
    if rest := [name for name in without_text if named[name].speaker != "p315"]:
        yield find("no-text", "recordings without a transcript: used all the same", rest)
    unread = [name for name in texts if name not in named]
    if p362 := [name for name in unread if name.startswith("p362_")]:
        yield find("p362-partly-missing", "transcripts of p362 without a recording: known", p362)
    known = ("p362_", "p280_") if microphone == "mic2" else ("p362_",)
    if rest := [name for name in unread if not name.startswith(known)]:
        yield find("text-without-audio", "transcripts without a recording: is the copy complete?", rest)
