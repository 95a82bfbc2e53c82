"""The folder of a feature cache: what it says about itself, and its shards of 16-bit floats.

cache.json                  what the features are of; a folder without it is no cache
files.json                  path of every utterance, in the order of the rows
shards/00000.npy            features of 256 utterances, shape (n, H, W), float16; zeros where a file was unreadable
shards/00000.json           the unreadable files among them, with their reasons
unreadable.tsv              all of them, once the cache is complete
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from codecfake.detector.crops import CROP_SAMPLES, SAMPLE_RATE
from codecfake.detector.front_ends import WEIGHTS_SHA256
from codecfake.detector.trials import SplitTrials, TrialList
from codecfake.manifests.differences import side_by_side
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import read_json, read_json_list

CACHE_FILE = "cache.json"
FILES_FILE = "files.json"
UNREADABLE_FILE = "unreadable.tsv"
UTTERANCES_PER_SHARD = 256
"""105 MB of XLS-R features; the full corpus is 4,134 shards."""


def shard_path(folder: Path, shard: int) -> Path:
    """Where the features of one shard are; the file is there once it is complete."""
    return folder / "shards" / f"{shard:05d}.npy"


def reasons_path(folder: Path, shard: int) -> Path:
    """Where the unreadable files of one shard are listed; published before its features."""
    return shard_path(folder, shard).with_suffix(".json")


class ShardReader:
    """Reads rows of one shard; threads may share it.

    One request to the disk per row, into memory that is there already; a disk that fails gives an error, where a
    mapping of the file would end the process.

    Args:
        path: The published file.

    Raises:
        CodecfakeError: If it holds something else than features.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        try:
            np.lib.format.read_magic(self._file)
            (self._rows, *shape), _, dtype = np.lib.format.read_array_header_1_0(self._file)
        except (ValueError, TypeError, SyntaxError, TokenError):
            shape, dtype = [], None
        if dtype != np.dtype(np.float16):
            self._file.close()
            raise CodecfakeError(
                f"{path} holds {dtype or 'no array'}, not features",
                cause="the file is damaged, or was not written by codecfake features",
                next_step=f"remove it, and run the same codecfake features command again: rm {path}",
            )
        self._row_bytes = int(np.prod(shape)) * dtype.itemsize
        self._start = self._file.tell()

    def read_into(self, place: int, row: np.ndarray) -> None:
        """Read one row.

        Args:
            place: Of the row in the shard.
            row: Where it goes, shape (H, W), float16, contiguous.

        Raises:
            CodecfakeError: If the file is shorter than its header says.
        """
        if row.nbytes != self._row_bytes or not 0 <= place < self._rows:
            raise ValueError(f"no row {place} of {row.nbytes} bytes in {self._rows} of {self._row_bytes}")
        if os.preadv(self._file.fileno(), [row], self._start + place * self._row_bytes) != self._row_bytes:
            path = Path(self._file.name)
            raise CodecfakeError(
                f"{path} is shorter than it says itself",
                cause="the file is damaged",
                next_step=f"remove it, and run the same codecfake features command again: rm {path}",
            )


def shard_count(files: int) -> int:
    """Number of shards that hold so many utterances."""
    return -(-files // UTTERANCES_PER_SHARD)


def missing_shards(folder: Path, files: int) -> list[int]:
    """The shards that are not published yet."""
    return [shard for shard in range(shard_count(files)) if not shard_path(folder, shard).is_file()]


def cached_trials(trials: SplitTrials) -> TrialList:
    """Every utterance of a split once, by its path: train, dev, then what the conditions add.

    Raises:
        CodecfakeError: If the parts do not lie in one folder.
    """
    parts = [trials.train, trials.dev, *trials.conditions.values()]
    if len({part.root for part in parts}) > 1:
        raise CodecfakeError(f"{trials.name}: its parts lie in several folders; cache them one by one")
    labels = {
        path: label for part in parts for path, label in zip(part.relative_paths, part.labels, strict=True)
    }
    paths = list(labels)
    return TrialList(
        trials.name, trials.train.root, paths, paths, np.array(list(labels.values()), dtype=np.int64)
    )


def describe_cache(front_end: Mapping[str, Any], trials: SplitTrials) -> dict[str, Any]:
    """Everything that a reader expects of a cache, as flat settings.

    Args:
        front_end: Description of the front end; its digest of the weights counts where it has one.
        trials: The utterances; their digest changes when the data does.
    """
    settings = {f"front_end.{key}": value for key, value in front_end.items() if key != WEIGHTS_SHA256}
    if WEIGHTS_SHA256 in front_end:
        settings[WEIGHTS_SHA256] = front_end[WEIGHTS_SHA256]
    return settings | {
        "input.sample_rate": SAMPLE_RATE,
        "input.samples": CROP_SAMPLES,
        "input.shorter": "tile",
        "trials.name": trials.name,
        "trials.digest": trials.digest,
        "dtype": "float16",
        "utterances_per_shard": UTTERANCES_PER_SHARD,
    }


def read_cache_description(folder: Path) -> dict[str, Any]:
    """Read ``cache.json``.

    Raises:
        CodecfakeError: If there is no cache in the folder.
    """
    path = folder / CACHE_FILE
    if not path.is_file():
        raise CodecfakeError(
            f"{folder} holds no feature cache: {CACHE_FILE} is not there",
            cause="the path is mistyped, or the cache was not made yet",
            next_step=f"codecfake features DATA --model MODEL --out {folder}",
        )
    return read_json(
        path, {"utterances": int, "shape": list}, next_step=f"remove {folder} and make the cache again"
    )


def refuse_difference(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a cache that differs in one of the settings that are wanted.

    Raises:
        CodecfakeError: With both columns.
    """
    settings = {name: there.get(name) for name in wanted}
    if table := side_by_side(settings, wanted, "in the cache"):
        raise CodecfakeError(
            f"{folder} holds features of something else:\n{table}",
            cause="the data, the front end or its weights are others now",
            next_step="choose another folder: codecfake features DATA --model MODEL --out FOLDER",
        )


def read_reasons(folder: Path, shards: Sequence[int]) -> dict[str, tuple[str, str]]:
    """Reason code and message of every unreadable file in the shards, by its path."""
    return {
        path: (reason, message)
        for shard in shards
        for path, reason, message in read_json_list(reasons_path(folder, shard), next_step=f"remove {folder}")
    }
