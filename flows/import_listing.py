"""From a dataset's own lists, as detectors read them, to the listing that an import takes."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codecfake.detector.sources import codecfake, codecfake15, find_source, run_folder
from codecfake.detector.sources.source import Source
from codecfake.detector.trials import DEV, TRAIN, TrialList
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.labels import Label
from codecfake.manifests.schema import REAL
from codecfake.manifests.splits import SPLITS, codec_role
from codecfake.pipeline.imports.listing import (
    CODEC_NAME,
    COLUMNS,
    DerivedFiles,
    Listing,
    Problem,
    ProblemKind,
)
from codecfake.pipeline.imports.origin import Origin, find_origin

if TYPE_CHECKING:
    import pyarrow as pa

IMPORTED = (codecfake.SOURCE, codecfake15.SOURCE)
EVAL = SPLITS.index("eval")


def list_dataset(data: Path) -> Listing:
    """Read the lists of a dataset that can be imported.

    Args:
        data: Its folder.

    Returns:
        Every file once: in the first of train, dev and evaluation that names it, and there in all its conditions.

    Raises:
        CodecfakeError: If the folder holds no dataset that is known, or one that is not imported.
    """
    data = Path(data).resolve()
    if run_folder.recognise(data):
        tree = shlex.quote(str(data / "splits" / "NAME" / "Codecfake"))
        raise CodecfakeError(
            f"{data} is a run already",
            next_step=f"codecfake import {tree} RUN takes the files of one of its splits",
        )
    source = find_source(data)
    if source not in IMPORTED:
        raise CodecfakeError(
            f"{data} holds {source.name}; only {' and '.join(one.name for one in IMPORTED)} become a run",
            cause="its fakes are not made by codecs from utterances that are named",
            next_step=f"codecfake score {data} --detector DETECTOR reads it as it is",
        )
    trials = source.read(data)
    parts = [part for part in (trials.train, trials.dev, *trials.conditions.values()) if len(part)]
    if all(part.processing for part in parts):
        raise CodecfakeError(
            f"the lists of {data} are empty, or those of robustness conditions alone",
            cause="the download was cut short",
        )
    origin, notes = find_origin(data, [one.name for one in IMPORTED]), list(trials.notes)
    if origin is None:
        origin = Origin(source.name, source.licence, {}, "")
        notes += _doubts(source, parts)
    lines = _Lines(parts)
    kinds = {False: ProblemKind.BAD_LINE, True: ProblemKind.CONTRADICTION}
    problems = [Problem(one.where, one.text, kinds[one.is_contradiction], one.why) for one in trials.rejected]
    problems += lines.disagreements()
    files, setting = lines.files(), lines.settings()
    kept, unfit = _fit(files, setting)
    problems += unfit
    order = kept[_order(files.take(kept))]
    derived = {
        name: DerivedFiles(files.take(order[setting[order] == name]), lines.conditions_under(name))
        for name in lines.settings_of_parts
        if name
    }
    order = order[setting[order] == ""]
    condition_sets, condition_set = lines.conditions()
    return Listing(
        dataset=origin.dataset,
        root=parts[0].root,
        licence=origin.licence,
        licences=origin.licences,
        weights=origin.weights,
        digest=trials.digest,
        list_digests={_name_in(data, path): file_sha256(path) for path in source.lists(data)},
        files=files.take(order),
        split=lines.split[order],
        condition_set=condition_set[order],
        condition_sets=condition_sets,
        derived=derived,
        copies=lines.copies(),
        problems=problems,
        notes=notes,
    )


def _doubts(source: Source, parts: list[TrialList]) -> list[str]:
    """A sentence where the lists are not those of the published dataset, so that its licence may be another."""
    counts = [(part.name, len(part), source.published_counts.get(part.name)) for part in parts]
    odd = [
        f"{name} has {count:,} files, as published {published:,}"
        for name, count, published in counts
        if published not in (None, count)
    ]
    if not odd:
        return []
    return [
        f"The lists are not those of {source.name} as it was published ({odd[0]}); its licence, {source.licence}, is "
        "assumed"
    ]


class _Lines:
    """The lines of all lists, and the files that they name: M files on N lines."""

    def __init__(self, parts: list[TrialList]) -> None:
        import pyarrow as pa

        self.parts = parts
        names = pa.chunked_array([pa.array(part.files, pa.string()) for part in parts]).combine_chunks()
        encoded = names.dictionary_encode()
        self.names = encoded.dictionary
        self.file_of = encoded.indices.to_numpy()
        self.first = np.unique(self.file_of, return_index=True)[1]
        self.settings_of_parts = list(dict.fromkeys(part.processing for part in parts))
        self.part_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        self.labels = np.concatenate([part.labels for part in parts])
        codes = [SPLITS.index(part.name) if part.name in (TRAIN, DEV) else EVAL for part in parts]
        self.split_of_line = np.array(codes, dtype=np.int8)[self.part_of]
        self.split = np.full(len(self.names), EVAL, dtype=np.int8)
        np.minimum.at(self.split, self.file_of, self.split_of_line)

    def files(self) -> "pa.Table":
        """Every file as the first line that names it has it, with the columns of a listing."""
        import pyarrow as pa

        paths = pa.chunked_array([pa.array(part.relative_paths, pa.string()) for part in self.parts])
        columns = {"file": self.names, "path": paths.take(pa.array(self.first))}
        for name in COLUMNS[2:]:
            cells = np.concatenate([part.columns[name] for part in self.parts])[self.first]
            if name == "codec":
                # A fake of a method called "real" is no bona fide file.
                is_fake = self.labels[self.first] == Label.SPOOF
                cells = np.where(is_fake, np.where(cells == REAL, "", cells), REAL)
            columns[name] = pa.array(cells.tolist(), pa.string())
        return pa.table(columns).combine_chunks()

    def settings(self) -> np.ndarray:
        """Setting of the robustness condition that each file is of, shape (M,), str objects; empty for clean files."""
        per_part = np.array([part.processing for part in self.parts], dtype=object)
        return per_part[self.part_of[self.first]]

    def conditions_under(self, setting: str) -> tuple[str, ...]:
        """The clean conditions that have lists under a setting."""
        names = [part.name for part in self.parts if part.processing == setting]
        return tuple(_condition(name.removesuffix(f"-{setting}")) for name in names)

    def conditions(self) -> tuple[tuple[tuple[str, ...], ...], np.ndarray]:
        """The sets of conditions that files have, and the index of its set per file, shape (M,)."""
        names = [part.name for part in self.parts]
        is_in = np.zeros((len(self.names), len(names)), dtype=bool)
        is_clean = np.array([not part.processing for part in self.parts], dtype=bool)
        rows = (self.split_of_line == EVAL) & (self.split[self.file_of] == EVAL) & is_clean[self.part_of]
        is_in[self.file_of[rows], self.part_of[rows]] = True
        sets, index = np.unique(is_in, axis=0, return_inverse=True)
        shown = np.array([_condition(name) for name in names], dtype=object)
        return tuple(tuple(shown[row].tolist()) for row in sets), index.reshape(-1)

    def copies(self) -> dict[str, list[str]]:
        """Paths other than the first, where lists of several conditions find a file in their own folders."""
        paths = np.concatenate([np.array(part.relative_paths, dtype=object) for part in self.parts])
        others: dict[str, list[str]] = {}
        for line in np.flatnonzero(paths != paths[self.first][self.file_of]):
            others.setdefault(self.names[int(self.file_of[line])].as_py(), []).append(paths[line])
        return others

    def disagreements(self) -> list[Problem]:
        """Lines that say something else of a file than the line that counts."""
        found = []
        first_label = self.labels[self.first][self.file_of]
        for line in np.flatnonzero(self.labels != first_label):
            words = [Label(value).published_name for value in (self.labels[line], first_label[line])]
            message = f"{words[0]} here and {words[1]} before; it stays {words[1]}"
            found.append(self._problem(line, ProblemKind.CONTRADICTION, message))
        for line in np.flatnonzero(self.split_of_line != self.split[self.file_of]):
            message = f"it is in {SPLITS[self.split[self.file_of[line]]]} and stays there alone"
            found.append(self._problem(line, ProblemKind.REPEATED, message))
        return found

    def _problem(self, line: int, kind: ProblemKind, message: str) -> Problem:
        return Problem(
            self.parts[self.part_of[line]].name, self.names[int(self.file_of[line])].as_py(), kind, message
        )


def _fit(files: "pa.Table", setting: np.ndarray) -> tuple[np.ndarray, list[Problem]]:
    """The rows that a run can hold, and why it cannot hold the others."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_named = np.asarray(pc.match_substring_regex(files["codec"], CODEC_NAME))
    under = pa.array(setting.tolist(), pa.string())
    keys = pc.binary_join_element_wise(files["codec"], files["utterance_id"], under, "/").combine_chunks()
    encoded = keys.dictionary_encode().indices.to_numpy()
    is_first = np.zeros(len(files), dtype=bool)
    is_first[np.unique(encoded, return_index=True)[1]] = True
    problems = []
    for row in np.flatnonzero(~(is_named & is_first)).tolist():
        why = "the same utterance and codec as another file" if is_named[row] else "no name of a codec"
        name, codec = files["file"][row].as_py(), files["codec"][row].as_py()
        problems.append(Problem(codec, name, ProblemKind.BAD_NAME, why))
    return np.flatnonzero(is_named & is_first), problems


def _order(files: "pa.Table") -> np.ndarray:
    """Positions of the rows by codec and utterance."""
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = files["codec"].combine_chunks().dictionary_encode()
    codecs = encoded.dictionary.to_pylist()
    rank = np.empty(len(codecs), dtype=np.int64)
    rank[sorted(range(len(codecs)), key=lambda index: codec_role(codecs[index]).order)] = range(len(codecs))
    keys = pa.table({"rank": rank[encoded.indices.to_numpy()], "utterance": files["utterance_id"]})
    return pc.sort_indices(keys, [("rank", "ascending"), ("utterance", "ascending")]).to_numpy()


def _condition(name: str) -> str:
    """A condition of Codecfake has its name; one that is called by its codec gets that of our runs."""
    return name if codecfake.LIST_NAME.fullmatch(name) else codec_role(name).condition


def _name_in(data: Path, path: Path) -> str:
    return path.relative_to(data).as_posix() if path.is_relative_to(data) else path.name
