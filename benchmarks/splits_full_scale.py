"""Split a dataset of the published size and write all its manifests and label files; no audio is involved.

Usage: python benchmarks/splits_full_scale.py [FOLDER]
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from record import environment, write_result

from codecfake.manifests.dataset import CodecRecord, build_dataset_table, digest_table, write_dataset
from codecfake.manifests.label_files import read_label_file, write_label_files
from codecfake.manifests.schema import item_schema, source_schema
from codecfake.manifests.splits import assign_published, place_items

CODECS = tuple(f"F{number:02d}" for number in range(1, 8))
EXPECTED_LINES = {"train": 740_747, "dev": 92_596, **{f"C{k}": 26_456 for k in range(1, 7)}, "C7": 145_505}
TARGET_SECONDS, TARGET_BYTES = 60, 4 * 1024**3


def spread(total: int, speakers: int) -> list[int]:
    """Share utterances among speakers as evenly as they go."""
    return [total // speakers + (index < total % speakers) for index in range(speakers)]


def make_source() -> pa.Table:
    ids, speakers = [], []
    for index, count in enumerate(spread(44_242, 109)):
        speakers += [f"p{225 + index}"] * count
        ids += [f"p{225 + index}_{number:03d}" for number in range(1, count + 1)]
    for index, count in enumerate(spread(88_035, 218)):
        speakers += [f"SSB{index * 9 + 5:04d}"] * count
        ids += [f"SSB{index * 9 + 5:04d}{number:04d}" for number in range(1, count + 1)]
    total, is_vctk = len(ids), np.array([name[0] == "p" for name in ids])
    seconds = np.random.default_rng(0).uniform(1.5, 6.0, total).round(4)
    samples = (seconds * 48_000).astype(np.int64)
    names = pa.array(ids)
    columns = {
        "utterance_id": names,
        "corpus": np.where(is_vctk, "vctk", "aishell3"),
        "language": np.where(is_vctk, "en", "zh"),
        "speaker": speakers,
        "gender": np.where(np.arange(total) % 3, "F", "M"),
        "transcript": pa.nulls(total, pa.string()),
        "path": pc.binary_join_element_wise(
            "wav48", pa.array(speakers), pc.binary_join_element_wise(names, "wav", "."), "/"
        ),
        "seconds": seconds,
        "samples": samples,
        "sample_rate": np.full(total, 48_000, dtype=np.int32),
        "channels": np.ones(total, dtype=np.int16),
        "subtype": pa.repeat("PCM_16", total),
        "sha256": random_hashes(total, 1),
        "reason": pa.nulls(total, pa.string()),
        "message": pa.nulls(total, pa.string()),
        "notes": pa.repeat("", total),
    }
    return pa.table([pa.array(columns[name]) for name in source_schema().names], schema=source_schema())


def random_hashes(total: int, seed: int) -> pa.Array:
    """Make hexadecimal sha256 strings."""
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    text = digits[np.random.default_rng(seed).integers(0, 16, (total, 64))].tobytes()
    offsets = np.arange(0, 64 * (total + 1), 64, dtype=np.int32)
    return pa.StringArray.from_buffers(total, pa.py_buffer(offsets), pa.py_buffer(text))


def make_items(source: pa.Table) -> pa.Table:
    total = source.num_rows
    shard = pa.array(np.char.mod("%04d", np.arange(total) // 512))
    parts = []
    for seed, codec in enumerate(("real", *CODECS), start=2):
        stem = source["utterance_id"].combine_chunks()
        prefixed = stem if codec == "real" else pc.binary_join_element_wise(codec, stem, "_")
        file = pc.binary_join_element_wise(prefixed, "wav", ".")
        columns = {
            "utterance_id": stem,
            "codec": pa.repeat(codec, total),
            "file": file,
            "path": pc.binary_join_element_wise("shards", pa.scalar(codec), shard, "audio", file, "/"),
            "reason": pa.nulls(total, pa.string()),
            "message": pa.nulls(total, pa.string()),
            "samples": pc.cast(
                pc.multiply(source["seconds"], 16_000), pa.int64(), safe=False
            ).combine_chunks(),
            "seconds": source["seconds"].combine_chunks(),
            "sample_rate": pa.repeat(pa.scalar(16_000, pa.int32()), total),
            "source_sha256": source["sha256"].combine_chunks(),
            "sha256": random_hashes(total, seed),
            "clipped_samples": pa.repeat(pa.scalar(0, pa.int32()), total),
        }
        parts.append(pa.table([columns[name] for name in item_schema().names], schema=item_schema()))
    return pa.concat_tables(parts)


def main(folder: Path) -> None:
    about = environment()
    source = make_source()
    items = make_items(source)
    config = (
        '{"name": "encodec", "sample_rate": 24000, "bandwidth_kbps": 6.0, "codebooks": 8, "batch": "frames"}'
    )
    codecs = {name: CodecRecord(config, f"{index:064x}") for index, name in enumerate(CODECS)}
    seconds: dict[str, float] = {}
    started = last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[name], last = round(now - last, 2), now

    assigned = assign_published(source["utterance_id"].to_pylist(), seed=0)
    placement = place_items(items, source, assigned, unseen_whole_corpus=True)
    lap("assignment")
    table = build_dataset_table(source, items, codecs, placement)
    lap("dataset table")
    digest_table(table)
    lap("input digest")
    write_dataset(table, folder)
    lap("manifest.parquet and manifest.csv")
    lines = write_label_files(table, folder / "label")
    lap("label files")
    total = round(last - started, 2)
    assert lines == EXPECTED_LINES, lines
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    started = time.perf_counter()
    labels = read_label_file(folder / "label" / "train.txt")
    read_seconds = round(time.perf_counter() - started, 2)
    assert labels.entries.num_rows == EXPECTED_LINES["train"] and not labels.bad_line_count
    assert total < TARGET_SECONDS and peak_bytes < TARGET_BYTES, (total, peak_bytes)

    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("manifest.*"))}
    result = {
        "rows": table.num_rows,
        "seconds": total,
        "seconds_per_step": seconds,
        "seconds_to_read_train_txt": read_seconds,
        "peak_bytes": peak_bytes,
        "manifest_bytes": sizes,
        "lines": lines,
        "environment": about,
    }
    steps = "\n".join(f"| {name} | {value:.2f} |" for name, value in seconds.items())
    markdown = (
        f"# Splitting {table.num_rows:,} files\n\n"
        "`python benchmarks/splits_full_scale.py`: assignment, manifests and all label files in "
        f"**{total:.1f} s**, peak memory **{peak_bytes / 1024**3:.2f} GiB** (input tables included). "
        f"Targets: {TARGET_SECONDS} s, {TARGET_BYTES // 1024**3} GiB.\n\n"
        f"| step | seconds |\n|---|---|\n{steps}\n\n"
        f"`train.txt` ({lines['train']:,} lines) reads back in {read_seconds:.2f} s. Lines: "
        + ", ".join(f"{name} {count:,}" for name, count in lines.items())
        + ". Manifests: "
        + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items())
        + ".\n"
    )
    write_result("splits_full_scale", result, markdown)
    print(markdown)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
