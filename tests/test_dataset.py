"""The dataset manifest and its counts."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from split_tables import RECORDS, make_items, make_source, sha256, vctk_ids

from codecfake.manifests.dataset import build_dataset_table, digest_table, write_dataset
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import check_schema, dataset_schema
from codecfake.manifests.split_summary import count_dataset, warn_of_changed_sources
from codecfake.manifests.splits import assign_published, place_items

IDS = vctk_ids(2, 10)


def make_table(items: pa.Table, source: pa.Table) -> pa.Table:
    assigned = assign_published(source["utterance_id"].to_pylist(), 0)
    return build_dataset_table(
        source, items, RECORDS, place_items(items, source, assigned, unseen_whole_corpus=True)
    )


def test_rows_are_joined_and_ordered_by_method_then_utterance():
    source = make_source(IDS, bad=[IDS[3]])
    items = make_items(source, ["mimi", "F07", "F01"])
    shuffled = items.take(pa.array(np.random.default_rng(3).permutation(items.num_rows)))
    table = make_table(shuffled, source)
    check_schema(table, dataset_schema(), "here")

    good = [name for name in IDS if name != IDS[3]]
    prefixes = ("", "F01_", "F07_", "mimi_")
    assert table["file"].to_pylist() == [f"{prefix}{name}.wav" for prefix in prefixes for name in good]
    methods = table["method"].to_pylist()
    assert [methods[19 * i] for i in range(4)] == ["0", "1", "7", "mimi"] and methods[18] == "0"

    row = table.to_pylist()[19 * 2 + 4]
    assert row["file"] == f"F07_{good[4]}.wav" and row["label"] == "fake" and row["codec"] == "F07"
    assert json.loads(row["codec_config"]) == {"codec": "dac"} and row["checkpoint_sha256"] == "c" * 64
    assert row["source_sha256"] == sha256(f"source of {good[4]}") and row["sha256"] == sha256(row["file"])
    assert (row["corpus"], row["language"], row["speaker"]) == ("vctk", "en", good[4][:4])
    assert row["split"] == "eval" and row["conditions"] == ["C7"]
    assert row["path"] == f"shards/F07/0000/audio/{row['file']}"
    assert table["codec_config"][0].as_py() == table["checkpoint_sha256"][0].as_py() == ""

    assert make_table(items, source).equals(table)


def test_an_eval_bona_fide_file_is_in_every_condition_and_a_pair_shares_its_split():
    source = make_source(IDS)
    rows = make_table(make_items(source, ["F01", "F07"]), source).to_pylist()
    bona_fide = {row["utterance_id"]: row for row in rows if row["codec"] == "real"}
    for row in rows:
        pair = bona_fide[row["utterance_id"]]
        assert row["source_split"] == pair["split"] and row["source_sha256"] == pair["source_sha256"]
        if row["codec"] == "F01":
            assert row["split"] == pair["split"]
    assert {tuple(row["conditions"]) for row in bona_fide.values()} == {(), ("C1", "C7")}


def test_parquet_and_csv_say_the_same(tmp_path: Path):
    source = make_source(IDS)
    table = make_table(make_items(source, ["F04", "F07"]), source)
    write_dataset(table, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.csv", "manifest.parquet"]
    assert pq.read_table(tmp_path / "manifest.parquet").equals(table)
    with (tmp_path / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        found = list(csv.DictReader(handle))
    for row, wanted in zip(found, table.to_pylist(), strict=True):
        assert row.pop("conditions") == ";".join(wanted.pop("conditions"))
        assert float(row.pop("seconds")) == wanted.pop("seconds")
        assert row == {name: str(value) for name, value in wanted.items()}


def test_counts_per_split_and_condition():
    source = make_source(IDS, bad=[IDS[3]])
    items = make_items(source, ["F04", "F07"])
    counts = count_dataset(make_table(items, source))
    # 20 utterances: 16 train, 2 dev, 2 eval; the quarantined one was assigned like any other.
    home = assign_published(IDS, 0)[3]
    lost = {name: int(name == home) for name in ("train", "dev", "eval")}
    train, dev, evaluation = 16 - lost["train"], 2 - lost["dev"], 2 - lost["eval"]
    assert counts["splits"]["train"] == {
        "real": train,
        "fake": train,
        "total": 2 * train,
        "hours": round(2 * train / 3600, 4),
    }
    assert counts["splits"]["dev"]["total"] == 2 * dev
    assert counts["conditions"]["C4"]["total"] == 2 * evaluation
    assert {name: counts["conditions"]["C7"][name] for name in ("real", "fake")} == {
        "real": evaluation,
        "fake": 19,
    }
    assert list(counts["conditions"]) == ["C4", "C7"]


def test_the_digest_follows_content_and_placement_not_row_order():
    source = make_source(IDS)
    items = make_items(source, ["F04"])
    digest = digest_table(make_table(items, source))
    assert digest_table(make_table(items.take(pa.array(range(39, -1, -1))), source)) == digest
    other = items.set_column(
        items.column_names.index("sha256"), "sha256", [["e" * 64, *items["sha256"].to_pylist()[1:]]]
    )
    assert digest_table(make_table(other, source)) != digest
    assert digest_table(make_table(items.slice(0, 39), source)) != digest


def test_a_file_listed_twice_is_refused():
    source = make_source(IDS)
    items = make_items(source, ["F04"])
    with pytest.raises(CodecfakeError, match=r"1 files .* F04_p226_010\.wav"):
        make_table(pa.concat_tables([items, items.slice(39)]), source)


def test_a_codec_without_a_record_is_refused():
    source = make_source(IDS)
    with pytest.raises(CodecfakeError, match="F05"):
        make_table(make_items(source, ["F05"]), source)


def test_a_usable_file_without_a_hash_is_refused():
    source = make_source(IDS)
    items = make_items(source, [])
    broken = items.set_column(
        items.column_names.index("sha256"), "sha256", pa.array([None, *items["sha256"].to_pylist()[1:]])
    )
    with pytest.raises(CodecfakeError, match="sha256"):
        make_table(broken, source)


def test_a_fake_made_from_other_bytes_than_listed_is_noticed():
    source = make_source(IDS)
    items = make_items(source, ["F04"])
    assert warn_of_changed_sources(items, source) == []
    position = items.column_names.index("source_sha256")
    hashes = items["source_sha256"].to_pylist()
    cascaded = items.set_column(position, "source_sha256", [[*hashes[:20], sha256("output"), *hashes[21:]]])
    assert warn_of_changed_sources(cascaded, source)[0].startswith("1 files were made from other bytes")
