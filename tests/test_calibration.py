"""The size of batches: as large as pays, as small as memory wants, and measured once."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from codecfake.codec_adapters import find_codec
from codecfake.pipeline import calibration
from codecfake.pipeline.batch_trials import MEMORY_SHARE, Trial
from codecfake.pipeline.calibration import batch_limit, limit_on
from codecfake.pipeline.weights import find_checkpoint, load_codec

MIB, GIB = 2**20, 2**30
LONGEST = 16.0


@dataclass
class SimulatedDevice:
    """Starts slowly and saturates at ``top_speed``; takes the same memory for every second of audio."""

    name: str = "simulated"
    total_memory: int = 2 * GIB
    free: int = 2 * GIB
    fixed: int = 100 * MIB
    per_second: int = 4 * MIB
    launch_seconds: float = 0.1
    top_speed: float = 300.0
    disturbance: Callable[[int], float] = lambda utterances: 1.0
    real_limit: int | None = None
    """Memory beyond which a run fails, where that is not what ``free`` says."""
    tried: list[int] = field(default_factory=list)

    def free_memory(self) -> int:
        return self.free

    def peak(self, seconds: float) -> int:
        return self.fixed + int(self.per_second * seconds)

    def speed(self, seconds: float) -> float:
        return seconds / (self.launch_seconds + seconds / self.top_speed)

    def run(self, adapter, utterances, samples):
        self.tried.append(utterances)
        seconds = utterances * samples / adapter.card.sample_rate
        peak = self.peak(seconds)
        if peak > (self.real_limit or self.free):
            return None
        return Trial(seconds, seconds / self.speed(seconds) * self.disturbance(utterances), peak)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "calibration"
    monkeypatch.setattr(calibration, "cache_folder", lambda: folder)
    return folder


@pytest.fixture
def codec():
    adapter = find_codec("F04")("cpu")
    adapter.network = torch.nn.Linear(3, 4)
    return adapter


def test_a_batch_is_as_large_as_it_pays(codec):
    device = SimulatedDevice(total_memory=200 * GIB, free=200 * GIB)
    seconds = limit_on(device, codec).seconds
    fastest = device.speed(3.5 * max(device.tried))
    assert device.speed(seconds) >= fastest / 1.05 > device.speed(seconds / 2)
    assert max(device.tried) <= 4 * seconds / 3.5 + 1


def test_a_disturbed_run_does_not_end_the_doubling(codec):
    calm = SimulatedDevice(total_memory=200 * GIB, free=200 * GIB)
    disturbed = SimulatedDevice(
        name="disturbed",
        total_memory=200 * GIB,
        free=200 * GIB,
        disturbance=lambda utterances: 2.5 if utterances == 4 else 1.0,
    )
    assert limit_on(disturbed, codec) == limit_on(calm, codec)


def test_a_batch_fits_into_the_free_memory_and_so_does_every_trial(codec):
    device = SimulatedDevice(per_second=20 * MIB)
    seconds = limit_on(device, codec).seconds
    assert seconds > LONGEST
    assert device.peak(seconds) <= MEMORY_SHARE * device.free
    assert device.peak(3.5 * max(device.tried)) <= MEMORY_SHARE * device.free


def test_free_memory_counts_at_every_call_and_the_measurement_once(codec):
    device = SimulatedDevice()
    at_first = limit_on(device, codec).seconds
    trials = len(device.tried)
    device.free = 300 * MIB
    assert device.peak(limit_on(device, codec).seconds) <= MEMORY_SHARE * device.free
    device.free = 2 * GIB
    assert limit_on(device, codec).seconds == at_first
    assert len(device.tried) == trials


def test_running_out_of_memory_while_trying_ends_the_trials(codec):
    device = SimulatedDevice(per_second=20 * MIB, real_limit=400 * MIB)
    seconds = limit_on(device, codec).seconds
    assert device.peak(3.5 * max(device.tried)) > device.real_limit
    assert seconds == LONGEST
    device = SimulatedDevice(name="larger", per_second=4 * MIB, real_limit=400 * MIB)
    assert device.peak(limit_on(device, codec).seconds) <= device.real_limit


@pytest.mark.parametrize("codec_id", ["F04", "F05", "F07"])
def test_the_longest_utterance_always_makes_a_batch(codec_id):
    adapter = find_codec(codec_id)("cpu")
    full = SimulatedDevice(free=10 * MIB)
    for _ in range(2):
        limit = limit_on(full, adapter)
        frames = adapter.frames(int(LONGEST * 48_000), 48_000)
        assert limit.utterances_of(frames / adapter.card.frame_rate) == 1
        assert limit.seconds >= frames / adapter.card.frame_rate - 1e-9
    assert full.tried == [1, 1], "nothing was measured, so nothing is remembered"


def test_what_a_full_device_cut_short_is_measured_again_when_there_is_room(codec):
    device = SimulatedDevice(free=300 * MIB)
    narrow = limit_on(device, codec).seconds
    device.free = 400 * MIB
    tried = len(device.tried)
    assert limit_on(device, codec).seconds == narrow
    assert len(device.tried) == tried
    device.free = 2 * GIB
    assert limit_on(device, codec) == limit_on(SimulatedDevice(name="never full"), codec)


def test_another_network_device_precision_or_torch_is_measured_anew(codec, monkeypatch, cache):
    device = SimulatedDevice()

    def is_measured(on=device):
        before = len(on.tried)
        limit_on(on, codec)
        return len(on.tried) > before

    assert is_measured()
    assert not is_measured()
    codec.network = torch.nn.Linear(3, 5)
    assert is_measured()
    codec.precision = "tf32"
    assert is_measured()
    monkeypatch.setattr(torch, "__version__", "99.0")
    assert is_measured()
    assert is_measured(SimulatedDevice(name="another"))
    assert is_measured(SimulatedDevice(total_memory=3 * GIB))
    assert not is_measured()
    assert len(list(cache.iterdir())) == 6


def _with(content, **changes):
    return json.dumps(content | {"measured": content["measured"] | changes})


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: "",
        lambda content: json.dumps(content)[:-10],
        lambda content: "[]",
        lambda content: '{"measured": {}}',
        lambda content: _with(content, bytes_per_second=0),
        lambda content: _with(content, best_seconds="many"),
        lambda content: _with(content, fixed_bytes=None),
        lambda content: _with(content, another=1),
        lambda content: json.dumps(content | {"of": content["of"] | {"codec": "another"}}),
    ],
    ids=["empty", "cut", "list", "no figures", "zero", "text", "null", "more", "foreign"],
)
def test_a_damaged_or_foreign_cache_is_measured_again(codec, cache, damage):
    device = SimulatedDevice()
    limit = limit_on(device, codec)
    (file,) = cache.iterdir()
    whole = file.read_text()
    file.write_text(damage(json.loads(whole)))
    tried = len(device.tried)
    assert limit_on(device, codec) == limit
    assert len(device.tried) == 2 * tried
    assert file.read_text() == whole


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("codec_id", ["F04", "F07"])
def test_on_a_gpu_the_batch_that_was_found_runs_in_the_memory_foreseen(codec_id, cache):
    adapter = load_codec(codec_id, find_checkpoint(find_codec(codec_id).card, "mini"), "cuda")
    limit = batch_limit(adapter, "cuda")
    (file,) = cache.iterdir()
    figures = json.loads(file.read_text())["measured"]
    samples = adapter.padded_length(round(LONGEST * adapter.card.sample_rate))
    utterances = limit.utterances_of(samples / adapter.card.sample_rate)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.inference_mode():
        adapter.reconstruct(0.05 * torch.randn(utterances, samples, device="cuda"))
    used = torch.cuda.max_memory_allocated() - before
    foreseen = figures["fixed_bytes"] + figures["bytes_per_second"] * limit.seconds
    assert used < foreseen / MEMORY_SHARE
    written = file.stat().st_mtime_ns
    batch_limit(adapter, "cuda")
    assert file.stat().st_mtime_ns == written
