"""What a run folder holds, damaged after it was written: every command says so in words, and none hangs."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import outside_codec
import pytest
import speech
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import damaged
from run_helpers import build_here
from run_helpers import settings as run_settings

from codecfake.detector.model import load_detector
from codecfake.detector.sources import open_trials
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.leases import Lease, LeaseHeld, lease_holder
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.exports.contents import read_contents
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.retries import plan_retry
from codecfake.pipeline.run_splits import split_run
from codecfake.pipeline.status import planned_shards, run_status
from codecfake.pipeline.verification import verify

FILES = ["run.json", "run.yaml", "source.parquet", "verify.json", "shards/X1/00000/shard.json",
         "shards/X1/00000/items.parquet", "splits/published-seed0/splits.json",
         "splits/published-seed0/manifest.parquet"]  # fmt: skip
VALUES = st.sampled_from([b"", b"null", b"[]", b"{}", b"5", b"[" * 100_000, b"{" * 9, b'{"damage": 5}', b"\xff",
                          b'{"fingerprint": {}, "digest": ""}', b'{"codec": "X1"}', b"1" * 5_000])  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A finished run that tests damage, and put right again."""
    folder = tmp_path_factory.mktemp("fuzzed")
    site, weights = outside_codec.install(folder / "outside")
    corpora = SimpleNamespace(
        vctk=speech.write_vctk(folder / "vctk", speakers=2, utterances=2),
        aishell3=speech.write_aishell3(folder / "aishell3", speakers=2, utterances=2),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        config = run_settings(corpora, SimpleNamespace(weights=weights), folder / "run")
        build_here(config)
        verify(config.out, planned_shards(config), Monitor())
        yield config.out


def use(run: Path) -> list[str]:
    """Do with a run what the commands do; the errors of those that refuse."""

    def plan() -> None:
        plan_retry(saved_config(run), None, Monitor())

    steps = [
        lambda: run_status(saved_config(run)),
        lambda: verify(run, planned_shards(saved_config(run)), Monitor()),
        plan,
        lambda: split_run(run, seed=1, monitor=Monitor()),
        lambda: read_contents(run, "published-seed0"),
        lambda: open_trials(run, "published-seed0"),
    ]
    refusals = []
    for step in steps:
        try:
            step()
        except (CodecfakeError, OSError) as error:
            assert str(error)
            refusals.append(str(error))
    return refusals


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=5)
@given(data=st.data())
def test_a_damaged_file_of_a_run_is_named(built, tmp_path, name, data):
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(built, run, copy_function=os.link)
    path = run / name
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(data.draw(damaged(content) | VALUES))
    use(run)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FILES)
def test_a_pipe_or_a_folder_in_the_place_of_a_file_stops_nothing_for_ever(built, tmp_path, name):
    for make in (
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/dev/zero"),
    ):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(built, run, copy_function=os.link)
        (run / name).unlink()
        make(run / name)
        use(run)


def test_audio_that_became_a_pipe_is_damage(built, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(built, run, copy_function=os.link)
    audio = next((run / "shards/X1/00000/audio").iterdir())
    audio.unlink()
    os.mkfifo(audio)
    report = verify(run, planned_shards(saved_config(run)), Monitor())
    assert audio.relative_to(run).as_posix() in {damage.path for damage in report.damage}


@pytest.mark.parametrize(
    "content", [b"", b"[" * 100_000, b"{}", b"[1]", b'{"front_end": 5}', b"\xff", b'{"model": "mel-lcnn"}']
)
def test_a_damaged_description_of_a_detector_is_named(tmp_path, content):
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(CodecfakeError):
        load_detector(tmp_path, "cpu")


HOLDER = {"host": "h", "boot": "b", "pid_namespace": "p", "pid": 1, "process_start": "1", "started": "s",
          "command": "c", "token": "t"}  # fmt: skip


@given(
    changes=st.dictionaries(
        st.sampled_from([*HOLDER, "more"]),
        st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.floats(),
        max_size=3,
    ),
    is_ours=st.booleans(),
)
def test_a_lease_of_anything_is_held_or_free_and_never_an_error(tmp_path, changes, is_ours):
    path = tmp_path / ".lock"
    with suppress(FileNotFoundError):
        path.unlink()
    lease = Lease(path, lambda: None)
    ours = json.loads(lease._content)
    path.write_text(json.dumps((ours if is_ours else HOLDER) | changes))
    lease_holder(path)
    try:
        lease.acquire()
    except LeaseHeld:
        return
    lease.release()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff" * 1_000_000, b"null", b"1" * 5_000])
def test_a_lease_that_is_no_text_is_held_by_nobody_known(tmp_path, content):
    (tmp_path / ".lock").write_bytes(content)
    assert lease_holder(tmp_path / ".lock") is None
    with pytest.raises(LeaseHeld):
        Lease(tmp_path / ".lock", lambda: None).acquire()
