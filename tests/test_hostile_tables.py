"""Tables and audio of a run folder that somebody sent: no name leads out of it, nothing fills the memory."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from run_helpers import build_here, retry_here, settings, tree, verify_here

from codecfake.manifests import recording_limits
from codecfake.manifests.checksums import publish_checksums
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.audio import decode
from codecfake.pipeline.audit.file_features import read_features
from codecfake.pipeline.source import CHECKSUMS_SUFFIX, SOURCE


@pytest.fixture
def config(corpora, outside, tmp_path):
    config = settings(corpora, outside, tmp_path / "run")
    build_here(config)
    return config


def rewrite(path, change):
    """Change the first row of a table in place."""
    table = pq.read_table(path)
    first, *others = table.to_pylist()
    pq.write_table(pa.Table.from_pylist([first | change, *others], schema=table.schema), path)


def sign(shard):
    """Make the record of a shard fit its rows."""
    record = json.loads((shard / "shard.json").read_text())
    record |= {"shard": shard.name, "items_sha256": file_sha256(shard / "items.parquet")}
    (shard / "shard.json").write_text(json.dumps(record))


def test_an_utterance_of_the_source_manifest_overwrites_no_file_of_the_user(config, tmp_path):
    recording = tmp_path / "mine.wav"
    recording.write_text("my own recording")
    source = config.out / SOURCE
    rewrite(source, {"utterance_id": str(recording.with_suffix(""))})
    publish_checksums(source.with_suffix(CHECKSUMS_SUFFIX), {source: None, source.with_suffix(".csv"): None})
    shutil.rmtree(config.out / "shards" / "real")
    with pytest.raises(CodecfakeError, match=r"mine.*could lead out of the run folder"):
        build_here(config)
    retry_here(config)
    assert verify_here(config).is_whole
    assert recording.read_text() == "my own recording"


def test_a_codec_in_the_rows_of_a_shard_leads_to_no_folder_outside(config, tmp_path):
    before = [path for path in tree(tmp_path) if not path.startswith("run/")]
    (shard,) = (config.out / "shards" / "X1").iterdir()
    again = shard.with_name("retry-001-00000")
    shutil.copytree(shard, again)
    lost = {"codec": "../../../outside", "file": "gone.wav", "path": f"shards/X1/{shard.name}/audio/gone.wav"}
    rewrite(shard / "items.parquet", lost)
    rewrite(again / "items.parquet", lost | {"path": f"shards/X1/{again.name}/audio/gone.wav"})
    for folder in (shard, again):
        sign(folder)
    retry_here(config)
    assert verify_here(config).is_whole
    outside_run = [path for path in tree(tmp_path) if not path.startswith("run/")]
    assert outside_run == before
    assert not (tmp_path.parent / "outside").exists()


def test_audio_that_decodes_to_more_than_the_memory_is_named_and_not_decoded(config, tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.flac"
    soundfile.write(bomb, np.zeros((100_000, 8), np.int16), 48_000)
    monkeypatch.setattr(recording_limits, "MAXIMUM_SAMPLES", 500_000)
    for read in (decode, read_features):
        with pytest.raises(soundfile.SoundFileError, match="800,000 samples over all channels"):
            read(bomb)
    (shard,) = (config.out / "shards" / "X1").iterdir()
    file = pq.read_table(shard / "items.parquet")["file"][0].as_py()
    (shard / "audio" / file).unlink()
    (shard / "audio" / file).write_bytes(bomb.read_bytes())
    rewrite(shard / "items.parquet", {"sha256": file_sha256(bomb)})
    sign(shard)
    assert any("800,000 samples" in damage.problem for damage in verify_here(config).damage)
