"""What is mended with the same bytes changes nothing for what was made of it; a kill at any step loses nothing."""

import shutil
from pathlib import Path

import pytest
from run_helpers import (
    ChangingCorpora,
    Listener,
    build_here,
    flip_in_place,
    flip_this_name,
    manifest,
    retry_here,
    settings,
    verify_here,
)

from codecfake.detector.scored_data import read_unchanged_trials
from codecfake.manifests.derived import derived_manifests
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline import shard_work, split_folders
from codecfake.pipeline.conditions.derive import derive_conditions
from codecfake.pipeline.conditions.settings import parse_setting
from codecfake.pipeline.local_devices import run_locally
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retrying import retry
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.splitting import current_splits

SPLIT = "splits/published-seed0"


class Killed(BaseException):
    """As a kill: nothing handles it."""


def scoreable(run_dir: Path, trained_on: dict, split: str = "published-seed0") -> dict:
    """What a detector that was trained before would be scored on, each file with its bytes."""
    trials = read_unchanged_trials(run_dir, trained_on, split)
    parts = {part.name: part for part in (trials.train, *trials.evaluated())}
    return {
        (name, file): part.path(at).read_bytes()
        for name, part in parts.items()
        for at, file in enumerate(part.files)
    }


@pytest.fixture
def config(outside, tmp_path):
    config = settings(ChangingCorpora(tmp_path), outside, tmp_path / "run")
    build_here(config)
    derive_conditions(config.out, "published-seed0", [parse_setting("gsm")], None, Monitor())
    return config


@pytest.fixture
def trained_on(config):
    trials = read_unchanged_trials(config.out, {}, "published-seed0")
    return {"split": trials.name, "manifest_sha256": trials.digest}


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("shards/X1/00000/audio/*.wav", flip_in_place),
        ("shards/X1/00000/audio/*.wav", flip_this_name),
        ("shards/real/00000/audio/*.wav", Path.unlink),
        ("shards/X1/00000/audio", shutil.rmtree),
        ("shards/X1/00000/items.parquet", flip_in_place),
        (f"{SPLIT}/manifest.parquet", flip_in_place),
        (f"{SPLIT}/manifest.csv", flip_in_place),
        (f"{SPLIT}/splits.json", flip_in_place),
        (f"{SPLIT}/splits.json", lambda path: path.write_text("{")),
        (f"{SPLIT}/SHA256SUMS", flip_in_place),
        (f"{SPLIT}/Codecfake/train/*.wav", flip_this_name),
        (f"{SPLIT}/Codecfake/test/*/*.wav", Path.unlink),
        (f"{SPLIT}/Codecfake/label/train.txt", flip_in_place),
        (f"{SPLIT}/Codecfake", shutil.rmtree),
    ],
)
def test_a_mended_run_keeps_its_detectors_and_conditions(config, trained_on, what, damage):
    before = scoreable(config.out, trained_on)
    assert any(name.endswith("-gsm") for name, _ in before)
    files = {path: path.read_bytes() for path in (config.out / SPLIT).iterdir() if path.is_file()}
    damage(sorted(config.out.glob(what))[0])
    assert not verify_here(config).is_whole
    retry_here(config)
    assert scoreable(config.out, trained_on) == before
    assert {path: path.read_bytes() for path in files} == files
    assert [path.name for path in (config.out / "splits").iterdir()] == ["published-seed0"]
    again = retry_here(config)
    assert again.plan is None and again.mended == ()  # not because of what `verify` found before
    assert verify_here(config).is_whole
    assert not list(config.out.rglob(".tmp-*"))


def test_a_split_by_labels_is_mended_without_its_labels(config, tmp_path):
    labels = tmp_path / "label"
    shutil.copytree(config.out / SPLIT / "Codecfake" / "label", labels)
    split = split_run(config.out, labels=labels, monitor=Monitor())
    shutil.rmtree(labels)
    before = (split.folder / "manifest.parquet").read_bytes()
    flip_in_place(sorted((split.folder / "Codecfake" / "test" / "C-X1").glob("X1_*"))[0])
    flip_this_name(sorted((split.folder / "Codecfake" / "train").iterdir())[0])
    assert not verify_here(config).is_whole
    retry_here(config)
    assert verify_here(config).is_whole
    assert (split.folder / "manifest.parquet").read_bytes() == before


def test_audio_that_comes_out_different_takes_a_new_place_and_says_where_the_conditions_are(
    config, monkeypatch
):
    change_what_comes_out(monkeypatch)
    flip_in_place(sorted((config.out / "shards/X1/00000/audio").iterdir())[0])
    verify_here(config)
    monitor = Listener()
    retry(config, None, monitor, run_locally)
    assert f"{config.out / SPLIT}.superseded-1/conditions" in "".join(monitor.lines)
    assert any("retry-001" in row["path"] for row in manifest(config.out))
    assert derived_manifests(config.out / f"{SPLIT}.superseded-1").keys() == {"gsm"}
    assert verify_here(config).is_whole


def change_what_comes_out(monkeypatch) -> None:
    encode = shard_work.encode_wav
    monkeypatch.setattr(shard_work, "encode_wav", lambda samples, rate: encode(samples // 2, rate))


@pytest.mark.parametrize("step", ["set_aside", "remove_drafts"])
@pytest.mark.parametrize("killed_at", [1, 2])
def test_no_split_is_lost_by_a_kill_while_it_is_replaced(config, monkeypatch, step, killed_at):
    split_run(config.out, policy="speaker-disjoint", seed=1, monitor=Monitor())
    names = [split.name for split in current_splits(config.out)]
    with monkeypatch.context() as patch:
        change_what_comes_out(patch)
        used = [{row["path"] for row in manifest(config.out, name)} for name in names]
        flip_in_place(config.out / max(set.intersection(*used)))
        verify_here(config)
        calls = []
        real = getattr(split_folders, step)

        def then_die(*arguments):
            calls.append(real(*arguments))
            if len(calls) == killed_at:
                raise Killed
            return calls[-1]

        patch.setattr(split_folders, step, then_die)
        with pytest.raises(Killed):
            retry_here(config)
    retry_here(config)
    assert [split.name for split in current_splits(config.out)] == names
    for name in names:
        assert any("retry-001" in row["path"] for row in manifest(config.out, name))
    assert verify_here(config).is_whole


def test_a_retry_that_is_killed_at_any_rename_is_finished_by_the_next(
    config, trained_on, tmp_path, monkeypatch
):
    before = scoreable(config.out, trained_on)
    flip_in_place(sorted((config.out / "shards/X1/00000/audio").iterdir())[0])
    flip_in_place(config.out / SPLIT / "manifest.csv")
    (config.out / SPLIT / "splits.json").write_text("{")
    verify_here(config)
    shutil.copytree(config.out, tmp_path / "damaged", copy_function=link_again(config.out))
    for killed_at in range(1, 100):
        shutil.rmtree(config.out)
        shutil.copytree(tmp_path / "damaged", config.out, copy_function=link_again(tmp_path / "damaged"))
        if not retry_until(killed_at, config, monkeypatch):
            break
        retry_here(config)
        assert scoreable(config.out, trained_on) == before
        assert [path.name for path in (config.out / "splits").iterdir()] == ["published-seed0"]
        assert verify_here(config).is_whole, killed_at
    assert 8 < killed_at < 99


def link_again(root: Path):
    """Copy files so that the links among them stay links."""
    copies: dict[int, str] = {}

    def copy(source: str, target: str) -> str:
        inode = Path(source).stat().st_ino
        if inode in copies:
            Path(target).hardlink_to(copies[inode])
        else:
            copies[inode] = shutil.copy2(source, target)
        return target

    return copy


def retry_until(killed_at: int, config, monkeypatch) -> bool:
    """Retry, and die right after a rename; False if there were fewer."""
    renames = []

    def dying(real):
        def rename(*arguments):
            renames.append(real(*arguments))
            if len(renames) == killed_at:
                raise Killed
            return renames[-1]

        return rename

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr(Path, "replace", dying(Path.replace))
        try:
            retry_here(config)
        except (Killed, CodecfakeError):  # a failed block is told of
            return True
    return False


def test_damaged_audio_is_made_again_in_the_batch_that_it_was_made_in(outside, tmp_path, monkeypatch):
    """Beside others the last bits of some codecs differ."""
    batches: list[tuple[str, ...]] = []
    run_batch = shard_work.ShardWork._run_batch

    def listen(work, batch):
        batches.append(tuple(source["utterance_id"] for source in batch))
        return run_batch(work, batch)

    monkeypatch.setattr(shard_work.ShardWork, "_run_batch", listen)
    config = settings(ChangingCorpora(tmp_path), outside, tmp_path / "run")
    build_here(config)
    first = set(batches)
    batches.clear()
    flip_in_place(config.out / "shards/real/00000/audio/p225_002.wav")
    verify_here(config)
    retry_here(config)
    assert len(batches) == 1 and set(batches) < first
    assert len(batches[0]) > 1 and "p225_002" in batches[0]
    again = sorted(path.name for path in config.out.glob("shards/*/retry-*/audio/*"))
    assert again == ["p225_002.wav"]
