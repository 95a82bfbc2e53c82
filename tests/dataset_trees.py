"""Builders of small dataset trees in the layouts that the detectors read."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from detector_run import speech_like

RATE = 16_000


def write_audio(path: Path, *, is_real: bool = True, rate: int = RATE, samples: int = 4_000) -> None:
    """Write a short recording, other for every name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode())
    soundfile.write(path, speech_like(seed, is_real=is_real, samples=samples), rate)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file of lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_codecfake(root: Path, *, nested: str = "test/") -> Path:
    """Write a Codecfake tree: train, dev, C1, C7, and A1 and A3 whose third column is L1 and L3 for all.

    Rates differ from file to file, and the bona fide files of A3 have labels but no audio, as published.
    """
    lists = {
        "train": [
            "p225_001.wav real 0",
            "F01_p225_001.wav fake 1",
            "SSB00050001.wav real 0",
            "F06_SSB00050001.wav fake 6",
        ],
        "dev": ["p226_001.wav real 0", "F04_p226_001.wav fake 4"],
        "C1": ["p227_001.wav real 0", "F01_p227_001.wav fake 1"],
        "C7": ["p227_001.wav real 0", "F07_p227_001.wav fake 7", "F07_p225_001.wav fake 7"],
        "A1": ["p227_001.wav real L1", "L1_p227_001.wav fake L1"],
        "A3": ["Yabc-1_2.wav real L3", "Yx.wav real L3", "102726.wav fake L3"],
    }
    rates = (16_000, 24_000, 44_100)
    for name, lines in lists.items():
        write_lines(root / "label" / f"{name}.txt", lines)
        folder = name if name in ("train", "dev") else f"{nested}{name}"
        for number, line in enumerate(lines):
            file, word, _ = line.split()
            if not (name == "A3" and word == "real"):
                write_audio(root / folder / file, is_real=word == "real", rate=rates[number % 3])
    return root


def write_asvspoof2019(root: Path) -> Path:
    """Write ASVspoof 2019 LA with two trials per part."""
    parts = {"train": ("train.trn", "T"), "dev": ("dev.trl", "D"), "eval": ("eval.trl", "E")}
    for part, (protocol, letter) in parts.items():
        path = root / "ASVspoof2019_LA_cm_protocols" / f"ASVspoof2019.LA.cm.{protocol}.txt"
        write_lines(
            path, [f"LA_0079 LA_{letter}_1138215 - - bonafide", f"LA_0080 LA_{letter}_9332881 - A07 spoof"]
        )
        for number, is_real in ((1138215, True), (9332881, False)):
            write_audio(
                root / f"ASVspoof2019_LA_{part}" / "flac" / f"LA_{letter}_{number}.flac", is_real=is_real
            )
    return root


def write_asvspoof2021(root: Path) -> Path:
    """Write keys of both tracks, the ASV key that is not meant, and the audio of the evaluation phase."""
    write_lines(
        root / "keys" / "LA" / "CM" / "trial_metadata.txt",
        [
            "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval",
            "LA_0020 LA_E_7294490 g722 loc_tx bonafide bonafide notrim eval",
            "LA_0020 LA_E_7294491 g722 loc_tx bonafide bonafide notrim progress",
            "LA_0020 LA_E_7294492 g722 loc_tx bonafide bonafide trim hidden",
        ],
    )
    write_lines(
        root / "keys" / "LA" / "ASV" / "trial_metadata.txt",
        ["LA_0007-alaw-ita_tx LA_E_5013670-alaw-ita_tx alaw ita_tx bonafide nontarget notrim eval"],
    )
    write_lines(
        root / "keys" / "DF" / "CM" / "trial_metadata.txt",
        [
            "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -",
            "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder Task1 team20 FF E",
            "LA_0043 DF_E_2000053 low_m4a asvspoof bonafide bonafide notrim eval bonafide - - - -",
        ],
    )
    for track, numbers in (("LA", (9332881, 7294490)), ("DF", (2000013, 2000053))):
        for number in numbers:
            write_audio(root / f"ASVspoof2021_{track}_eval" / "flac" / f"{track}_E_{number}.flac")
    return root


def write_asvspoof5(root: Path) -> Path:
    """Write ASVspoof 5 with two trials per part; one is a codec version of another file."""
    rows = {
        "train": [
            "T_4850 T_0000000000 F - - - AC3 A05 spoof -",
            "T_4851 T_0000000001 M - - - - bonafide bonafide -",
        ],
        "dev.track_1": [
            "D_4461 D_0000000169 F - - - AC1 A14 spoof -",
            "D_0461 D_0000000190 M - - - - bonafide bonafide -",
        ],
        "eval.track_1": [
            "E_1607 E_0009538969 M C05 2 E_0009486171 AC1 A26 spoof -",
            "E_1607 E_0009486171 M - 0 - AC1 A26 spoof -",
            "E_3614 E_0009249146 F - 0 - - bonafide bonafide -",
        ],
    }
    folders = {"T": "flac_T", "D": "flac_D", "E": "flac_E_eval"}
    for name, lines in rows.items():
        write_lines(root / f"ASVspoof5.{name}.tsv", lines)
        for line in lines:
            file = line.split()[1]
            write_audio(root / folders[file[0]] / f"{file}.flac", is_real="bonafide" in line)
    return root


def write_in_the_wild(root: Path) -> Path:
    """Write In-the-Wild with three clips, one of a speaker with a comma in the name."""
    folder = root / "release_in_the_wild"
    write_lines(
        folder / "meta.csv",
        [
            "file,speaker,label",
            "0.wav,Alec Guinness,spoof",
            '1.wav,"King, Jr.",bona-fide',
            "2.wav,Alec Guinness,bona-fide",
        ],
    )
    for number in range(3):
        write_audio(folder / f"{number}.wav", is_real=number > 0)
    return root


CODECFAKE15 = ("encodec_24khz", "descript-audio-codec-16khz")


def write_codecfake15(root: Path, *, with_list: bool) -> Path:
    """Write CodecFake with two codecs and one utterance of each of five speakers."""
    rows = ["path,label,speaker,codec"]
    for speaker in ("p225", "p226", "p227", "p228", "p229"):
        for codec in ("genuine", *CODECFAKE15):
            file = f"{codec}+{speaker}_001.wav"
            write_audio(root / codec / file, is_real=codec == "genuine")
            label = "genuine" if codec == "genuine" else "spoofing"
            rows.append(f"wavs/{file},{label},{speaker},{codec}")
    if with_list:
        write_lines(root / "datalist.csv", rows)
    return root


def write_published_labels(folder: Path) -> int:
    """Write label files of the size of the published ones, without audio; return their number of lines.

    Names and counts as in arXiv 2405.04880: 105,821 train, 13,228 dev and 13,228 evaluation utterances.
    """
    sizes = {"train": 105_821, "dev": 13_228, "eval": 13_228}
    names, first = {}, 0
    for split, size in sizes.items():
        names[split] = [f"SSB{number:08d}.wav" for number in range(first, first + size)]
        first += size
    total = 0

    def write(name: str, lines: list[str]) -> None:
        nonlocal total
        total += len(lines)
        write_lines(folder / f"{name}.txt", lines)

    for split in ("train", "dev"):
        reals = [f"{name} real 0" for name in names[split]]
        write(split, reals + [f"F0{c}_{name} fake {c}" for name in names[split] for c in range(1, 7)])
    reals = [f"{name} real 0" for name in names["eval"]]
    for c in range(1, 7):
        write(f"C{c}", reals + [f"F0{c}_{name} fake {c}" for name in names["eval"]])
    write("C7", reals + [f"F07_{name} fake 7" for split in sizes for name in names[split]])
    return total


def labels_of(trials) -> list[tuple[str, int]]:
    """File and class of every trial, for comparison."""
    return list(zip(trials.files, np.asarray(trials.labels).tolist(), strict=True))
