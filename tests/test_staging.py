"""Batches on their way to a device and back: none lost, in order, one ahead on a GPU; features too, shard by shard."""

import threading
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from detector_run import SPLIT, make_run

from codecfake.detector import feature_computing, feature_shards
from codecfake.detector.feature_computing import compute_shards
from codecfake.detector.feature_shards import ShardReader, cached_trials, shard_path
from codecfake.detector.front_ends.mel import MelFrontEnd
from codecfake.detector.staging import fetched, staged, upload
from codecfake.detector.trials import TrialList, read_trials
from codecfake.manifests.errors import CodecfakeError

CPU = torch.device("cpu")
SHARD = 6


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> TrialList:
    return cached_trials(read_trials(make_run(tmp_path_factory.mktemp("run")), SPLIT)).take(range(18))


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (feature_computing, feature_shards):
        monkeypatch.setattr(module, "UTTERANCES_PER_SHARD", SHARD)


def test_on_a_cpu_each_item_is_prepared_when_it_is_wanted() -> None:
    prepared: list[int] = []

    def stage(item: int) -> torch.Tensor:
        prepared.append(item)
        return torch.tensor([item])

    for item, tensor in fetched(staged(range(4), stage, CPU)):
        assert (tensor.tolist(), prepared) == ([item], list(range(item + 1)))
    assert prepared == [0, 1, 2, 3]
    wave = torch.ones(3)
    assert upload(wave, CPU) is wave


class FakeStream:
    """In place of a CUDA stream: work is done when it is asked for, and what the host waits for is noted."""

    waited = 0

    def wait_stream(self, _other: "FakeStream") -> None: ...

    def wait_event(self, _event: "FakeStream") -> None: ...

    def record_event(self) -> "FakeStream":
        return self

    def synchronize(self) -> None:
        FakeStream.waited += 1


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_on_a_gpu_the_next_item_is_prepared_first_and_few_are_queued(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of the host's work, which needs no GPU; `test_a_gpu_gives_what_a_cpu_gives` has one."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: FakeStream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: FakeStream())
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: nullcontext())
    monkeypatch.setattr(FakeStream, "waited", 0)
    prepared: list[int] = []

    class Result:
        def record_stream(self, _stream: FakeStream) -> None: ...

    def stage(item: int) -> Result:
        prepared.append(item)
        return Result()

    taken = []
    for item, _ in staged(range(count), stage, torch.device("cuda")):
        deadline = time.monotonic() + 10
        while len(prepared) < min(item + 2, count) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(prepared) == min(item + 2, count)
        taken.append(item)
    assert taken == prepared == list(range(count))
    assert FakeStream.waited == max(0, count - 2)


@pytest.mark.gpu
def test_a_gpu_gives_what_a_cpu_gives() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device, weight = torch.device("cuda"), torch.randn(512, 512)
    waves = [torch.randn(64, 512) for _ in range(50)]
    there = weight.to(device)
    inputs = staged(waves, lambda wave: upload(wave, device) * 2, device)
    results = list(fetched((wave, tensor @ there) for wave, tensor in inputs))
    assert all(found is wave for (found, _), wave in zip(results, waves, strict=True))
    for wave, product in results:
        torch.testing.assert_close(product, 2 * wave @ weight, atol=1e-2, rtol=1e-2)


def test_a_shard_is_written_while_the_next_one_is_computed(
    utterances: TrialList, tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed, save = threading.Semaphore(0), np.save

    class Counted(MelFrontEnd):
        def forward(self, waves: torch.Tensor) -> torch.Tensor:
            computed.release()
            return super().forward(waves)

    def save_later(file: object, features: np.ndarray) -> None:
        """Return only when the network has been run on the next shard."""
        if not shard_path(tmp_path, 0).exists():
            assert computed.acquire(timeout=30) and computed.acquire(timeout=30)
        save(file, features)

    monkeypatch.setattr(feature_computing.np, "save", save_later)
    counts = list(compute_shards(tmp_path, utterances, range(3), Counted(), CPU))
    assert counts == [SHARD] * 3
    assert [shard_path(tmp_path, shard).is_file() for shard in range(3)] == [True] * 3


def test_a_shard_that_cannot_be_written_ends_the_work(
    utterances: TrialList, tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_computing.np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        list(compute_shards(tmp_path, utterances, range(3), MelFrontEnd(), CPU))
    assert not list(tmp_path.rglob("*.npy*"))


def test_rows_of_a_shard_are_read_where_they_belong(tmp_path: Path) -> None:
    features = np.random.default_rng(0).standard_normal((5, 8, 9)).astype(np.float16)
    np.save(tmp_path / "0.npy", features)
    reader, row = ShardReader(tmp_path / "0.npy"), np.empty((8, 9), np.float16)
    for place in (4, 0, 2):
        reader.read_into(place, row)
        assert np.array_equal(row, features[place])
    with pytest.raises(ValueError, match="no row 5"):
        reader.read_into(5, row)
    with (tmp_path / "0.npy").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 2)
    with pytest.raises(CodecfakeError, match="shorter than it says"):
        reader.read_into(4, row)
