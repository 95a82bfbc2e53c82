"""Trainings in processes of their own: killed, or several that train one network."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from detector_run import SPLIT, make_run
from safetensors.torch import load_file
from torch import distributed, multiprocessing, nn

from codecfake.detector.model import load_detector
from codecfake.detector.networks.lcnn import LCNN
from codecfake.detector.training import TrainConfig, TrainResult, train
from codecfake.detector.training.batch_plans import share
from codecfake.detector.training.domains import LabelledBatch
from codecfake.detector.training.shared_batch_norm import share_batch_norms
from codecfake.detector.training.step import TrainingStep

SCRIPT = """
import sys
from pathlib import Path
import torch
from codecfake.detector.training import TrainConfig, train

torch.set_num_threads(1)
run_dir, split, out, devices = sys.argv[1:]
config = TrainConfig(model="w2v2-aasist", front_end_weights="tiny", epochs=1, batch_size=4)
train(Path(run_dir), split, Path(out), config, "cpu",
      lambda line: print(line, flush=True), devices=int(devices), checkpoint_minutes=0)
"""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), train=6, dev=2, evaluation=1)


def start(folder: Path, *arguments: object) -> subprocess.Popen:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def train_here(run_dir: Path, out: Path) -> TrainResult:
    """What the script does, in this process alone."""
    config = TrainConfig(model="w2v2-aasist", front_end_weights="tiny", epochs=1, batch_size=4)
    return train(run_dir, SPLIT, out, config, "cpu", print)


def test_a_killed_training_resumes_to_the_same_weights(run_dir: Path, tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    train_here(run_dir, straight)
    process = start(tmp_path, run_dir, SPLIT, killed, 1)
    deadline = time.monotonic() + 60
    while not list(killed.glob("checkpoints/epoch-001-step-*.pt")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (killed / "model.json").exists()
    train_here(run_dir, killed)
    one, other = load_file(straight / "model.safetensors"), load_file(killed / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not list(killed.rglob(".tmp-*"))


def test_fabric_starts_two_processes_that_train_one_detector(run_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    process = start(tmp_path, run_dir, SPLIT, tmp_path / "out", 2)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.count("epoch 1/1") == 1
    files = {path.name for path in (tmp_path / "out").iterdir() if path.suffix not in (".png", ".svg")}
    assert files - {"tensorboard"} == {
        "history.csv",
        "model.json",
        "model.safetensors",
        "state.json",
    }
    detector, _ = load_detector(tmp_path / "out", "cpu")
    assert detector.network.first_bn.num_batches_tracked == 3


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """In float64, for the maxima of LCNN pass gradients to other places when their inputs change in the last bit."""
    multiprocessing.spawn(learn_in_process, args=(2, tmp_path), nprocs=2)
    expected = learn(SimpleNamespace(rank=0, count=1, device=torch.device("cpu")))
    states = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for state in states:
        assert state["losses"] == pytest.approx(expected["losses"], rel=1e-12)
        assert list(state["network"]) == list(expected["network"])
        for name, tensor in expected["network"].items():
            torch.testing.assert_close(state["network"][name], tensor, rtol=1e-9, atol=1e-12)


def learn(processes: SimpleNamespace) -> dict:
    """Three steps of SAM on batches of 7, which two processes share as 4 and 3."""
    torch.manual_seed(0)
    network = LCNN((16, 16), enc_dim=4)
    network.out[0].p = 0.0  # every process draws masks of its own
    network.double().train()
    if processes.count > 1:
        share_batch_norms(network)
    config = TrainConfig(optimizer="sam", epochs=1, halve_every=1, batch_size=7)
    step = TrainingStep(network, None, config, processes)
    step.class_weights = step.class_weights.double()
    generator = torch.Generator().manual_seed(1)
    losses = []
    for number in range(3):
        features = torch.randn(7, 1, 16, 16, generator=generator, dtype=torch.float64)
        labels = torch.tensor([0, 1, 1, 0, 1, 1, 1])
        mine = [share(part.numpy(), processes.rank, processes.count) for part in (features, labels)]
        batch = LabelledBatch(
            features=torch.from_numpy(mine[0]), labels=torch.from_numpy(mine[1]), waves=None
        )
        loss, weight = step(batch, epoch=1, step=number)
        assert weight == 2 * 10 + 5
        losses.append(loss)
    return {"losses": losses, "network": network.state_dict()}


def learn_in_process(rank: int, count: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), count)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)
    state = learn(SimpleNamespace(rank=rank, count=count, device=torch.device("cpu")))
    torch.save(state, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_a_shared_batch_norm_is_the_usual_one_in_evaluation() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(1, 3, 3), nn.BatchNorm1d(3)).eval()
    network[1].running_mean.uniform_()
    images = torch.randn(4, 1, 9)
    expected = network(images)
    share_batch_norms(network)
    assert torch.equal(network(images), expected)
