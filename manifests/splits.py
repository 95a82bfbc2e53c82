"""Which utterances train, tune and test a detector, and which condition a file belongs to.

Utterances are assigned over *all* rows of the source manifest, usable or not, so that retrying a quarantined
one never moves another. Ranks come from hashes of ids: the order of rows and the machine do not matter.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "dev", "eval")
"""The splits, in the order of their codes 0, 1, 2."""

NOWHERE = -1
"""The split code of a file that is in no split."""

SEEN = ("F01", "F02", "F03", "F04", "F05", "F06")
"""The codecs of train and dev; every other codec is met for the first time in its own condition."""


@dataclass(frozen=True)
class CodecRole:
    """What a codec is called in the label files, and whether detectors train on it."""

    codec: str
    condition: str
    """``C4`` for F04, ``C4-1`` for a bit-rate variant of the paper, ``A1`` for one of its sets of audio language
    models, ``C-mimi`` for any other codec, empty for bona fide audio."""
    method: str
    """Third column of the label files: ``0`` for bona fide, ``4`` for F04, else the codec's name."""
    is_seen: bool
    eval_only: bool
    """Whether its fakes are evaluated for the eval utterances alone, as the paper's bit-rate variants are."""
    order: tuple[int, int, str]
    """Sort key: bona fide, then the numbered codecs, then the others by name."""


def codec_role(codec: str) -> CodecRole:
    """Give the role of a codec, or of bona fide audio when ``codec`` is ``real``."""
    if codec == REAL:
        return CodecRole(codec, "", "0", False, False, (0, 0, ""))
    if re.fullmatch(r"F(0[1-9]|[1-9][0-9]+)", codec):
        number = int(codec[1:])
        return CodecRole(codec, f"C{number}", str(number), codec in SEEN, False, (1, number, codec))
    if re.fullmatch(r"C[1-9]-[1-9]|A[1-9]", codec):
        return CodecRole(codec, codec, codec, False, True, (2, 0, codec))
    return CodecRole(codec, f"C-{codec}", codec, False, False, (3, 0, codec))


def condition_order(condition: str) -> tuple[int, int, str]:
    """Give the sort key of a condition: C1, C2, ... C10, then C3-1 and its like, then A1 and the named ones."""
    number = condition.removeprefix("C")
    return (0, int(number), "") if number.isdecimal() else (1 if number[:1].isdecimal() else 2, 0, condition)


@dataclass(frozen=True)
class Placement:
    """Where every row of an item table is used; all arrays are as long as that table."""

    split: np.ndarray
    """Code of the split the file is used in, or ``NOWHERE``."""
    source_split: np.ndarray
    """Code of the split its utterance belongs to."""
    condition_set: np.ndarray
    """Index into ``condition_sets``."""
    condition_sets: tuple[tuple[str, ...], ...]


def split_sizes(total: int) -> tuple[int, int, int]:
    """Give the sizes of train, dev and eval: 80 % down, 10 % to the nearest (half up), and the rest.

    From three utterances on, dev and eval hold at least one each.
    """
    train, dev = total * 8 // 10, (total + 5) // 10
    test = total - train - dev
    if total >= 3:
        dev, test = max(dev, 1), max(test, 1)
    return total - dev - test, dev, test


def _hash_order(keys: Sequence[str], seed: int) -> np.ndarray:
    digests = b"".join(hashlib.sha256(f"{seed}:{key}".encode()).digest() for key in keys)
    return np.argsort(np.frombuffer(digests, dtype="S32"), kind="stable")


def assign_published(utterance_ids: Sequence[str], seed: int) -> np.ndarray:
    """Assign utterances as the published dataset does: at random, 80/10/10, speakers in every split.

    Args:
        utterance_ids: All ids of the source manifest, in any order.
        seed: Another seed gives another assignment.

    Returns:
        ``train``, ``dev`` or ``eval`` per utterance, in the order of ``utterance_ids``.

    Raises:
        CodecfakeError: If an id appears twice, which would put one utterance into two splits.
    """
    if len(set(utterance_ids)) != len(utterance_ids):
        raise CodecfakeError("the source manifest names an utterance twice")
    assigned = np.empty(len(utterance_ids), dtype="U5")
    assigned[_hash_order(utterance_ids, seed)] = np.repeat(SPLITS, split_sizes(len(utterance_ids)))
    return assigned


def assign_speaker_disjoint(source: "pa.Table", seed: int) -> np.ndarray:
    """Assign whole speakers, so that no voice is heard in two splits.

    Per corpus, eval and then dev take speakers in a seeded order until 10 % of the utterances are as near as
    whole speakers come, each time of the gender that the split lacks most; train keeps the rest. A corpus of
    three speakers or more gives each split one; of two, it has no dev; a single speaker goes to train, and so
    does a recording whose speaker is unknown.

    Args:
        source: The source manifest, with all its rows.
        seed: Another seed gives another assignment.

    Returns:
        ``train``, ``dev`` or ``eval`` per row of ``source``.
    """
    frame = source.select(["corpus", "speaker", "gender"]).combine_chunks()
    corpus, speaker, gender = (frame[name].to_numpy() for name in frame.column_names)
    assigned = np.full(len(frame), "train", dtype="U5")
    for name in np.unique(corpus.astype(str)):
        rows = np.flatnonzero((corpus == name) & (speaker != ""))
        names, first, index = np.unique(speaker[rows].astype(str), return_index=True, return_inverse=True)
        order = _hash_order([f"{name}:{one}" for one in names], seed)
        chosen = _choose_speakers(np.bincount(index)[order], gender[rows][first][order])
        per_speaker = np.empty(len(names), dtype="U5")
        per_speaker[order] = chosen
        assigned[rows] = per_speaker[index]
    return assigned


def _choose_speakers(sizes: np.ndarray, genders: np.ndarray) -> np.ndarray:
    """Give a split per speaker of one corpus; speakers come in seeded order, ``sizes`` in utterances."""
    chosen = np.full(len(sizes), "train", dtype="U5")
    target = 0.1 * sizes.sum()
    shares = {gender: sizes[genders == gender].sum() / sizes.sum() for gender in np.unique(genders)}
    for split, to_leave in (("eval", 1 if len(sizes) == 2 else 2), ("dev", 1)):
        while (chosen == "train").sum() > to_leave:
            mine = chosen == split
            gap = target - sizes[mine].sum()
            free = np.flatnonzero(chosen == "train")
            nearer = free[sizes[free] < 2 * gap]
            if not len(nearer):
                if mine.any():
                    break
                nearer = free[[np.argmin(sizes[free])]]
            lack = [shares[genders[i]] * target - sizes[mine & (genders == genders[i])].sum() for i in nearer]
            chosen[nearer[np.argmax(lack)]] = split
    return chosen


def source_rows(items: "pa.Table", source: "pa.Table") -> np.ndarray:
    """Give the row of the source manifest that each item was made from.

    Raises:
        CodecfakeError: If an item's utterance is not in the source manifest.
    """
    import pyarrow.compute as pc

    found = pc.index_in(items["utterance_id"], value_set=source["utterance_id"].combine_chunks())
    if found.null_count:
        stranger = items["file"].filter(pc.is_null(found))[0].as_py()
        raise CodecfakeError(
            f"{found.null_count:,} files, such as {stranger}, come from no utterance of source.parquet",
            cause="the shards were built from another source manifest",
            next_step="codecfake verify RUN",
        )
    return found.to_numpy()


def place_items(
    items: "pa.Table", source: "pa.Table", assigned: np.ndarray, *, unseen_whole_corpus: bool
) -> Placement:
    """Say where each file is used, from the split of its utterance and its codec.

    Bona fide files and fakes of seen codecs follow their utterance. A fake of an unseen codec is evaluated or
    in no split. Conditions exist for the codecs that have items.

    Args:
        items: The files to place, an item table.
        source: The source manifest.
        assigned: ``train``, ``dev`` or ``eval`` per row of ``source``.
        unseen_whole_corpus: Whether an unseen codec is tested on its fakes of all utterances (as C7 in the
            paper), or on those of eval utterances alone, which keeps speakers apart.

    Returns:
        The placement of every item.
    """
    codecs = items["codec"].combine_chunks().dictionary_encode()
    codec_index = codecs.indices.to_numpy()
    roles = [codec_role(codec) for codec in codecs.dictionary.to_pylist()]
    codes = np.select([assigned == name for name in SPLITS], range(3), NOWHERE).astype(np.int8)
    source_split = codes[source_rows(items, source)]

    is_unseen = np.array([role.codec != REAL and not role.is_seen for role in roles], dtype=bool)[codec_index]
    evaluation = SPLITS.index("eval")
    eval_only = np.array([role.eval_only for role in roles], dtype=bool)[codec_index] | (
        not unseen_whole_corpus
    )
    outside_eval = np.where(eval_only, NOWHERE, evaluation)
    split = np.where(is_unseen & (source_split != evaluation), outside_eval, source_split).astype(np.int8)

    by_order = sorted(roles, key=lambda role: role.order)
    every = tuple(role.condition for role in by_order if role.condition)
    own = tuple((role.condition,) if role.condition else every for role in roles)
    condition_set = np.where(split == evaluation, codec_index + 1, 0)
    return Placement(split, source_split, condition_set, ((), *own))
