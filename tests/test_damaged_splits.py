"""A split that names audio which its run replaced or lost is told by `verify` and made again by `retry`."""

import json
import shutil
from pathlib import Path

import pytest
from dataset_trees import write_codecfake
from run_helpers import (
    ChangingCorpora,
    Listener,
    build_here,
    build_repaired,
    flip_in_place,
    manifest,
    retry_here,
    settings,
    verify_here,
)
from test_mending_in_place import Killed, change_what_comes_out
from typer.testing import CliRunner

from codecfake.flows.cli import app
from codecfake.flows.import_listing import list_dataset
from codecfake.manifests.derived import derived_manifests
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import retrying
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.imports.importing import import_dataset
from codecfake.pipeline.local_devices import run_locally
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retrying import retry
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.splitting import current_splits
from codecfake.pipeline.status import planned_in
from codecfake.pipeline.verification import verify

SPLIT = "splits/published-seed0"


@pytest.fixture
def config(outside, tmp_path):
    config = settings(ChangingCorpora(tmp_path), outside, tmp_path / "run")
    build_here(config)
    return config


def told(config) -> dict[str, str]:
    return {damage.path: damage.problem for damage in verify_here(config).damage}


def typed(command: str, run: Path, *more: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [command, str(run), *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output.replace(str(run), "RUN")


def make_other_splits(config, tmp_path) -> tuple[str, str]:
    labels = shutil.copytree(config.out / SPLIT / "Codecfake" / "label", tmp_path / "label")
    by_labels = split_run(config.out, labels=labels, monitor=Monitor()).name
    return by_labels, split_run(config.out, policy="speaker-disjoint", seed=-1, monitor=Monitor()).name


def fake_of(config, split: str) -> Path:
    return config.out / next(row["path"] for row in manifest(config.out, split) if row["codec"] == "X1")


def test_no_split_keeps_audio_that_came_out_different(config, tmp_path, monkeypatch):
    by_labels, by_speakers = make_other_splits(config, tmp_path)
    change_what_comes_out(monkeypatch)
    flip_in_place(fake_of(config, by_speakers))
    verify_here(config)
    monitor = Listener()
    retry(config, None, monitor, run_locally)
    assert f"Next: move {config.out / 'splits' / by_labels} away" in "\n".join(monitor.lines)
    assert any("retry-001" in row["path"] for row in manifest(config.out, by_speakers))
    (path,) = (damage := told(config))
    assert path == f"splits/{by_labels}"
    assert damage[path].startswith("1 of its files, such as shards/X1/00000/audio/X1_")
    shutil.move(config.out / "splits" / by_labels, tmp_path / "away")
    split_run(config.out, labels=tmp_path / "label", monitor=Monitor())
    assert told(config) == {}


def test_a_split_that_a_killed_retry_did_not_come_to_is_made_again(config, tmp_path, monkeypatch):
    by_speakers = make_other_splits(config, tmp_path)[1]
    with monkeypatch.context() as patch:
        change_what_comes_out(patch)
        flip_in_place(fake_of(config, by_speakers))
        verify_here(config)

        def die(*arguments):
            raise Killed

        patch.setattr(retrying, "mend_splits", die)
        with pytest.raises(Killed):
            retry_here(config)
    build_here(config)
    assert f"splits/{by_speakers}" in told(config)
    mended = retry_here(config)
    assert mended.plan is None and mended.mended[0].startswith(f"splits/{by_speakers}: 1 of its files")
    assert f"splits/{by_speakers}" not in told(config)


def test_a_split_of_shards_that_are_gone_is_told_and_made_again(outside, tmp_path):
    config = build_repaired(outside, tmp_path)
    before = (config.out / SPLIT / "manifest.parquet").read_bytes()
    shutil.rmtree(config.out / "retries")
    for shard in config.out.glob("shards/*/retry-*"):
        shutil.rmtree(shard)
    code, output = typed("verify", config.out)
    assert code == 1 and "2 of its files, such as shards/" in " ".join(output.split())
    assert "Next: codecfake retry RUN\n" in output  # for every reason: the recording is to be read again
    retry_here(config)
    assert (config.out / SPLIT / "manifest.parquet").read_bytes() == before
    assert told(config) == {}


def test_an_import_that_lost_a_later_shard_is_told_and_takes_its_files_again(tmp_path):
    data, run = write_codecfake(tmp_path / "data"), tmp_path / "run"
    (data / "train" / "F01_p225_001.wav").rename(tmp_path / "later.wav")
    import_dataset(run, list_dataset(data), Monitor())
    (tmp_path / "later.wav").rename(data / "train" / "F01_p225_001.wav")
    import_dataset(run, list_dataset(data), Monitor())
    assert verify(run, planned_in(run), Monitor()).is_whole
    shutil.rmtree(run / "shards" / "F01" / "retry-001-00000")
    (damage,) = verify(run, planned_in(run), Monitor()).damage
    assert damage.path.startswith("splits/imported-") and "F01_p225_001.wav" in damage.problem
    assert "lost whole shards, goes on in its own" in " ".join(typed("verify", run)[1].split())
    import_dataset(run, list_dataset(data), Monitor())
    assert verify(run, planned_in(run), Monitor()).is_whole


def test_no_split_is_made_of_damaged_rows(config):
    derive_conditions(config.out, "published-seed0", [parse_setting("gsm")], None, Monitor())
    before = (config.out / SPLIT / "manifest.parquet").read_bytes()
    (config.out / "shards" / "real" / "00000").rename(config.out.parent / "away")
    flip_in_place(config.out / "shards/X1/00000/items.parquet")
    code, output = typed("verify", config.out)
    assert code == 1 and "codecfake retry RUN --reason damaged" in output and "codecfake build" not in output
    for make in (
        lambda: build_here(config),
        lambda: split_run(config.out, policy="speaker-disjoint", seed=7, monitor=Monitor()),
    ):
        with pytest.raises(CodecfakeError, match=r"items\.parquet is damaged: its sha256") as caught:
            make()
        assert caught.value.next_step == "codecfake verify RUN"
    retry_here(config)
    assert told(config) == {}
    assert [split.name for split in current_splits(config.out)] == ["published-seed0"]
    assert (config.out / SPLIT / "manifest.parquet").read_bytes() == before
    assert derived_manifests(config.out / SPLIT).keys() == {"gsm"}


def test_nobody_is_told_to_remove_good_conditions_of_a_damaged_split(config):
    derive_conditions(config.out, "published-seed0", [parse_setting("gsm")], None, Monitor())
    flip_in_place(config.out / SPLIT / "manifest.parquet")
    assert set(told(config)) == {f"{SPLIT}/manifest.parquet"}
    retry_here(config)
    assert told(config) == {}
    assert derived_manifests(config.out / SPLIT).keys() == {"gsm"}


def test_what_a_retry_mends_is_told_before_what_conditions_need(config):
    derive_conditions(config.out, "published-seed0", [parse_setting("gsm")], None, Monitor())
    (config.out / SPLIT / "conditions" / "gsm" / "manifest.parquet").unlink()
    flip_in_place(config.out / SPLIT / "manifest.csv")
    output = typed("verify", config.out)[1]
    assert output.index("Next: codecfake retry RUN") < output.index("Next: codecfake conditions RUN")


def test_files_of_others_are_not_mended_and_not_called_so(config):
    strays = (
        config.out / SPLIT / "Codecfake/train/notes.txt",
        config.out / "shards/X1/00000/audio/notes.txt",
    )
    for stray in strays:
        stray.write_text("mine")
        stray.with_name(".DS_Store").write_text("a file manager's")
    code, output = typed("verify", config.out)
    assert code == 1 and "Next:" not in output
    assert "move it out of the tree" in output and "move it out of the run" in " ".join(output.split())
    assert len(told(config)) == 2
    assert "Nothing to retry." in typed("retry", config.out, "--no-prefect")[1]
    assert all(stray.read_text() == "mine" for stray in strays)
    for stray in strays:
        stray.unlink()
    assert told(config) == {}


def test_a_tree_that_was_deleted_is_made_again_by_the_same_command(config):
    shutil.rmtree(config.out / SPLIT / "Codecfake")
    code, output = typed("splits", config.out)
    assert code == 0 and "Codecfake tree written" in output
    assert told(config) == {}
    assert json.loads((config.out / SPLIT / "splits.json").read_text())["policy"] == "published"
