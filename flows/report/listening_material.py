"""What can be listened to: the utterances of a dataset with their files per codec, and what is known of them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.codec_adapters import CodecError, find_codec
from codecfake.detector.evaluation.described import checked
from codecfake.detector.sources import run_folder
from codecfake.detector.trials import DEV, TRAIN, SplitTrials
from codecfake.flows.audit_material import gather
from codecfake.flows.report.listening_names import PUBLISHED_NAMES
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.records import parquet_columns, parse_json, read_parquet
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import codec_role
from codecfake.pipeline.listening.choosing import Candidate, choose_utterances, require_utterances
from codecfake.pipeline.shard_store import read_items
from codecfake.pipeline.source import SOURCE, current_source

if TYPE_CHECKING:
    from codecfake.pipeline.audit.measuring import AuditedFile

EVALUATION = "evaluation"


@dataclass(frozen=True)
class About:
    """What the lists of a dataset say of a source utterance; empty where they do not."""

    speaker: str = ""
    language: str = ""
    part: str = ""


@dataclass(frozen=True)
class Utterance:
    """One row of the page."""

    utterance_id: str
    about: About
    transcript: str
    files: "dict[str, AuditedFile]"
    """By codec, or ``real``."""
    missing: dict[str, str]
    """Why there is no file, by codec."""


@dataclass(frozen=True)
class Configuration:
    """What a manifest says of a codec, as far as it is shown."""

    name: str = ""
    kilobits_per_second: float | None = None


@dataclass(frozen=True)
class Column:
    """A codec, or bona fide audio."""

    codec: str
    title: str
    kilobits_per_second: float | None
    """None for bona fide audio, and where nobody tells."""


@dataclass(frozen=True)
class Material:
    """What the page shows."""

    columns: list[Column]
    """Bona fide audio first."""
    utterances: list[Utterance]
    all_utterances: int
    """How many have bona fide audio and a fake."""
    trials: SplitTrials


def choose_material(
    data: Path, split: str | None, real: Path | None, utterances: int, wanted: Sequence[str], seed: int
) -> Material:
    """Choose what to listen to.

    Args:
        data: A run folder, or a downloaded dataset.
        split: Name of the split, for a run that has several.
        real: Folder with the sources of the fakes, for a dataset without bona fide files.
        utterances: How many to choose.
        wanted: Ids of utterances that come first, beside those that are chosen.
        seed: Of the choice.

    Raises:
        CodecfakeError: If the folder holds no known dataset, one of the classes is missing, or an id is not known.
    """
    files: dict[str, dict[str, AuditedFile]] = {}
    material = gather(data, split, real, 0)
    for file in material.files:
        files.setdefault(file.utterance_id, {}).setdefault(file.codec, file)
    trials = material.trials
    about = _about(trials)
    missing, unusable, spoken = _sources(data)
    require_utterances(wanted, files.keys(), unusable, f"codecfake report {data} --utterance ID")
    pairs = [name for name, of in files.items() if REAL in of and len(of) > 1]
    if not (pairs or wanted):
        raise CodecfakeError(
            f"no bona fide file of {data.name} belongs to any fake, so nothing can be heard side by side",
            cause="the dataset does not tell which fakes were made from which bona fide files",
            next_step="codecfake report DATA --real FOLDER",
        )
    candidates = [_candidate(name, about.get(name, About())) for name in pairs if name not in wanted]
    chosen = [*dict.fromkeys(wanted), *choose_utterances(candidates, utterances, seed)]
    codecs = {codec for of in files.values() for codec in of} | {REAL}
    return Material(
        columns=_columns(data, trials.name, codecs),
        utterances=[
            Utterance(
                name, about.get(name, About()), spoken.get(name, ""), files[name], missing.get(name, {})
            )
            for name in chosen
        ],
        all_utterances=len(pairs),
        trials=trials,
    )


def _candidate(utterance_id: str, about: About) -> Candidate:
    return Candidate(utterance_id, about.speaker, about.language, about.part == EVALUATION)


def _about(trials: SplitTrials) -> dict[str, About]:
    """What is known per source utterance; its bona fide file says in which part it is."""
    names = {TRAIN: "training", DEV: "development"}
    about: dict[str, About] = {}
    for part in (trials.train, trials.dev, *trials.conditions.values()):
        sources, speakers, languages = (
            part.columns.get(name) for name in ("utterance_id", "speaker", "language")
        )
        for position, file in enumerate(part.files):
            name = (sources is not None and sources[position]) or Path(file).stem
            if name in about and part.labels[position] != Label.BONA_FIDE:
                continue
            about[name] = About(
                speakers[position] if speakers is not None else "",
                languages[position] if languages is not None else "",
                names.get(part.name, EVALUATION),
            )
    return about


def _sources(data: Path) -> tuple[dict[str, dict[str, str]], dict[str, str], dict[str, str]]:
    """Of a run: why fakes are missing, by utterance and codec; why utterances are; what is said, by utterance."""
    if not (data / SOURCE).is_file():
        return {}, {}, {}
    missing: dict[str, dict[str, str]] = {}
    items = read_items(data)
    for row in items.filter(items["reason"].is_valid()).to_pylist():
        missing.setdefault(row["utterance_id"], {})[row["codec"]] = _why(row)
    source = current_source(data)
    unusable = source.filter(source["reason"].is_valid()).to_pylist()
    spoken = zip(source["utterance_id"].to_pylist(), source["transcript"].to_pylist(), strict=True)
    return (
        missing,
        {row["utterance_id"]: f"quarantined, {_why(row)}" for row in unusable},
        {name: text for name, text in spoken if text},
    )


def _why(row: dict[str, str]) -> str:
    return f"{row['reason']}: {row['message']}" if row["message"] else row["reason"]


def _columns(data: Path, split: str, codecs: set[str]) -> list[Column]:
    configurations = _configurations(data, split)
    columns = []
    for codec in sorted(codecs, key=lambda name: codec_role(name).order):
        if codec == REAL:
            columns.append(Column(codec, "", None))
            continue
        configuration = configurations.get(codec, Configuration())
        title, rate = configuration.name, configuration.kilobits_per_second
        with suppress(CodecError):
            card = find_codec(PUBLISHED_NAMES.get(codec, codec)).card
            title, rate = card.title, rate or card.kilobits_per_second
        columns.append(Column(codec, title, rate))
    return columns


def _configurations(data: Path, split: str) -> dict[str, Configuration]:
    """What a run's manifest says of each codec."""
    if not run_folder.recognise(data):
        return {}
    path = data / "splits" / split / "manifest.parquet"
    if "codec_config" not in parquet_columns(path):
        return {}
    pairs = read_parquet(path, columns=["codec", "codec_config"]).group_by(["codec", "codec_config"])
    return {
        row["codec"]: checked(Configuration, parse_json(row["codec_config"].encode(), path), path)
        for row in pairs.aggregate([]).to_pylist()
        if row["codec_config"]
    }
