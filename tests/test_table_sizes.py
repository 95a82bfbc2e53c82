"""Small Parquet files that hold large tables are refused before they are read; large honest ones are read."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codecfake.manifests import records
from codecfake.manifests.records import DamagedFileError, read_parquet

ROWS = 20_000


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch):
    monkeypatch.setattr(records, "MOST_TABLE_BYTES", 1 << 20)
    monkeypatch.setattr(records, "ROWS_PER_LOOK", 1_000)


def repeated(values, rows=ROWS):
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(values))


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_one_long_value_in_every_row_is_refused(tmp_path, compression):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"file": repeated(["x" * 4_000])}), path, compression=compression)
    with pytest.raises(
        DamagedFileError, match=r"table\.parquet is damaged: its 20,000 rows would take more than"
    ):
        read_parquet(path)
    assert read_parquet(path, []).num_columns == 0


def test_long_values_without_a_dictionary_are_refused(tmp_path):
    path = tmp_path / "table.parquet"
    table = pa.table({"file": ["x" * 4_000] * ROWS})
    for options in (
        {"use_dictionary": False},
        {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"},
    ):
        pq.write_table(table, path, compression="zstd", **options)
        with pytest.raises(DamagedFileError, match="rows"):
            read_parquet(path)


def test_long_values_in_lists_are_refused(tmp_path):
    path = tmp_path / "table.parquet"
    lists = pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), pa.array(["x" * 4_000] * ROWS))
    pq.write_table(pa.table({"conditions": lists}), path, compression="zstd")
    with pytest.raises(DamagedFileError, match="rows would take more than"):
        read_parquet(path)


def test_too_many_rows_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MOST_ROWS", ROWS - 1)
    pq.write_table(pa.table({"samples": [0] * ROWS}), tmp_path / "table.parquet")
    with pytest.raises(DamagedFileError, match="20,000 rows"):
        read_parquet(tmp_path / "table.parquet")


def test_many_columns_without_a_value_are_refused(tmp_path):
    path = tmp_path / "table.parquet"
    absent = pa.nulls(ROWS, pa.string())
    pq.write_table(pa.table({f"c{number}": absent for number in range(300)}), path, use_dictionary=False)
    assert path.stat().st_size < 100_000
    with pytest.raises(DamagedFileError, match="6,000,000 values in 20,000 rows"):
        read_parquet(path)


def test_many_rows_of_usual_length_are_read_as_they_are(tmp_path):
    path = tmp_path / "table.parquet"
    columns = {
        "file": [f"F01_{number}.wav" for number in range(ROWS)],
        "codec_config": ["c" * 400] * ROWS,
        "message": [None] * ROWS,
        "conditions": [["C1", "C2"]] * ROWS,
        "samples": list(range(ROWS)),
    }
    table = pa.table(columns, schema=pa.schema([
        ("file", pa.string()), ("codec_config", pa.string()), ("message", pa.string()),
        ("conditions", pa.list_(pa.string())), ("samples", pa.int64()),
    ]))  # fmt: skip
    pq.write_table(table, path)
    assert read_parquet(path).equals(table)
    assert read_parquet(path, ["message", "conditions"]).equals(table.select(["message", "conditions"]))
    pq.write_table(table.slice(0, 0), path)
    assert read_parquet(path).num_rows == 0
