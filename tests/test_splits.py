"""Assignment of utterances and files to splits and conditions."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from split_tables import make_items, make_source, vctk_ids

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.splits import (
    SPLITS,
    assign_published,
    assign_speaker_disjoint,
    codec_role,
    condition_order,
    place_items,
    split_sizes,
)

PUBLISHED_IDS = [f"p{225 + i % 109}_{i:05d}" for i in range(44_242)] + [f"SSB{i:08d}" for i in range(88_035)]


def test_published_counts_at_the_true_size():
    assigned = assign_published(PUBLISHED_IDS, seed=0)
    counts = {name: int((assigned == name).sum()) for name in SPLITS}
    assert counts == {"train": 105_821, "dev": 13_228, "eval": 13_228}
    share_of_vctk = (assigned[:44_242] == "eval").mean()
    assert 0.09 < share_of_vctk < 0.11


def test_assignment_follows_seed_and_id_not_row_order():
    ids = PUBLISHED_IDS[:2_000]
    assigned = assign_published(ids, seed=0)
    shuffled = np.random.default_rng(1).permutation(len(ids))
    again = assign_published([ids[i] for i in shuffled], seed=0)
    assert (again == assigned[shuffled]).all()
    assert (assign_published(ids, seed=1) != assigned).mean() > 0.2


def test_assignment_is_the_rank_of_the_hash_on_every_machine():
    ids = vctk_ids(1, 10)
    ranked = sorted(ids, key=lambda name: hashlib.sha256(f"7:{name}".encode()).hexdigest())
    assigned = dict(zip(ids, assign_published(ids, seed=7).tolist(), strict=True))
    assert [assigned[name] for name in ranked] == ["train"] * 8 + ["dev", "eval"]


@pytest.mark.parametrize(
    ("total", "sizes"),
    [(0, (0, 0, 0)), (1, (0, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (8, 1, 1)),
     (43, (34, 4, 5)), (132_277, (105_821, 13_228, 13_228))],
)  # fmt: skip
def test_split_sizes(total: int, sizes: tuple[int, int, int]):
    assert split_sizes(total) == sizes


def test_an_id_that_appears_twice_is_refused():
    with pytest.raises(CodecfakeError, match="twice"):
        assign_published(["p225_001", "p225_002", "p225_001"], seed=0)


def test_quarantine_moves_nothing():
    ids = vctk_ids(3, 20)
    whole, with_bad = make_source(ids), make_source(ids, bad=ids[:7])
    assert (assign_speaker_disjoint(whole, 0) == assign_speaker_disjoint(with_bad, 0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_speaker_disjoint_keeps_speakers_apart_and_sizes_near(seed: int):
    rng = np.random.default_rng(9)
    ids = [f"p{225 + s}_{u:03d}" for s in range(60) for u in range(rng.integers(150, 450))]
    ids += [f"SSB{s:04d}{u:04d}" for s in range(80) for u in range(rng.integers(150, 450))]
    source = make_source(ids)
    assigned = assign_speaker_disjoint(source, seed)
    speaker, corpus, gender = (source[name].to_numpy() for name in ("speaker", "corpus", "gender"))
    for one in np.unique(speaker.astype(str)):
        assert len(np.unique(assigned[speaker == one])) == 1
    for name in ("vctk", "aishell3"):
        for split, share in (("train", 0.8), ("dev", 0.1), ("eval", 0.1)):
            mine = (corpus == name) & (assigned == split)
            assert mine.sum() == pytest.approx(share * (corpus == name).sum(), rel=0.1)
            assert 0.3 < (gender[mine] == "F").mean() < 0.7


def test_speaker_disjoint_does_not_depend_on_row_order_but_on_the_seed():
    source = make_source(vctk_ids(40, 5))
    assigned = assign_speaker_disjoint(source, 0)
    shuffled = np.random.default_rng(2).permutation(source.num_rows)
    assert (assign_speaker_disjoint(source.take(pa.array(shuffled)), 0) == assigned[shuffled]).all()
    assert (assign_speaker_disjoint(source, 1) != assigned).any()


@pytest.mark.parametrize(
    ("speakers", "splits"),
    [(1, {"train"}), (2, {"train", "eval"}), (3, {"train", "dev", "eval"}), (4, {"train", "dev", "eval"})],
)
def test_few_speakers(speakers: int, splits: set[str]):
    assert set(assign_speaker_disjoint(make_source(vctk_ids(speakers, 4)), 0)) == splits


def test_one_giant_speaker_does_not_empty_a_split():
    ids = [*vctk_ids(1, 900), "p300_001", "p301_001"]
    assigned = assign_speaker_disjoint(make_source(ids), 0)
    assert set(assigned[:900]) == {"train"} and set(assigned[900:]) == {"dev", "eval"}


def test_codec_roles():
    roles = {name: codec_role(name) for name in ("real", "F01", "F06", "F07", "F12", "mimi", "F7")}
    assert [role.condition for role in roles.values()] == ["", "C1", "C6", "C7", "C12", "C-mimi", "C-F7"]
    assert [role.method for role in roles.values()] == ["0", "1", "6", "7", "12", "mimi", "F7"]
    assert [name for name, role in roles.items() if role.is_seen] == ["F01", "F06"]
    assert [codec_role(name).condition for name in ("C3-1", "A", "C", "F1")] == ["C3-1", "C-A", "C-C", "C-F1"]
    unordered = ["C-a", "C10", "C4-1", "C2", "C3-1", "C-b"]
    assert sorted(unordered, key=condition_order) == ["C2", "C10", "C3-1", "C4-1", "C-a", "C-b"]


def placed(
    codecs: list[str], *, unseen_whole_corpus: bool
) -> list[tuple[str, str, str, str, tuple[str, ...]]]:
    """Place 20 utterances; gives (id, codec, split, source split, conditions) per file."""
    source = make_source(vctk_ids(2, 10))
    items = make_items(source, codecs)
    assigned = assign_published(source["utterance_id"].to_pylist(), seed=0)
    placement = place_items(items, source, assigned, unseen_whole_corpus=unseen_whole_corpus)
    word = (*SPLITS, "nowhere")
    return [
        (row["utterance_id"], row["codec"], word[split], word[origin], placement.condition_sets[index])
        for row, split, origin, index in zip(
            items.to_pylist(), placement.split, placement.source_split, placement.condition_set, strict=True
        )
    ]


def test_published_places():
    files = placed(["F07", "mimi", "F01"], unseen_whole_corpus=True)
    for _, codec, split, origin, conditions in files:
        if codec in ("F07", "mimi"):
            assert (split, conditions) == ("eval", ("C7" if codec == "F07" else "C-mimi",))
        else:
            assert split == origin
            expected = ("C1", "C7", "C-mimi") if codec == "real" else ("C1",)
            assert conditions == (expected if split == "eval" else ())
    assert sum(codec == "F07" for _, codec, *_ in files) == 20


def test_bit_rate_variants_are_evaluated_on_the_eval_utterances_alone():
    files = placed(["F04", "C4-1"], unseen_whole_corpus=True)
    variant = [
        (split, origin, conditions) for _, codec, split, origin, conditions in files if codec == "C4-1"
    ]
    assert variant.count(("eval", "eval", ("C4-1",))) == 2
    assert sum(split == "nowhere" and origin in ("train", "dev") for split, origin, _ in variant) == 18
    reals = [conditions for _, codec, split, _, conditions in files if (codec, split) == ("real", "eval")]
    assert reals == [("C4", "C4-1")] * 2


def test_no_utterance_leaks_between_the_bona_fide_and_seen_files_of_splits():
    files = placed(["F01", "F04", "F07"], unseen_whole_corpus=True)
    homes: dict[str, set[str]] = {}
    for utterance, codec, split, _, _ in files:
        if codec != "F07":
            homes.setdefault(utterance, set()).add(split)
    assert len(homes) == 20 and all(len(splits) == 1 for splits in homes.values())


def test_speaker_disjoint_leaves_unseen_fakes_of_other_speakers_out():
    files = placed(["F01", "mimi"], unseen_whole_corpus=False)
    unseen = [(split, origin) for _, codec, split, origin, _ in files if codec == "mimi"]
    assert unseen.count(("eval", "eval")) == 2
    assert unseen.count(("nowhere", "train")) + unseen.count(("nowhere", "dev")) == 18


def test_a_file_of_another_run_is_refused():
    source = make_source(vctk_ids(2, 10))
    items = make_items(make_source(["p299_001"]), [])
    with pytest.raises(CodecfakeError, match=r"p299_001\.wav"):
        place_items(
            items, source, assign_published(source["utterance_id"].to_pylist(), 0), unseen_whole_corpus=True
        )
