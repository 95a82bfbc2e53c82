"""Reading the authors' pickles as data: real ones load, whatever else is in one is refused and never runs."""

import builtins
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from codecfake.detector.inert_pickle import read_inert
from codecfake.detector.model import DESCRIPTION_FILE, WEIGHTS_FILE, load_detector
from codecfake.detector.networks import aasist, graph_attention, lcnn
from codecfake.detector.published_checkpoints import read_published_checkpoint
from codecfake.detector.published_import import import_checkpoint
from codecfake.manifests.errors import CodecfakeError

pytestmark = pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")

SHARED_FILE = "published/codec_w2v2aasist/anti-spoofing_feat_model.pt"


@pytest.fixture
def released_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let our networks pickle as classes of the authors' ``model.py``."""
    authors = types.ModuleType("model")
    for module in (lcnn, aasist, graph_attention):
        for name, value in vars(module).copy().items():
            if isinstance(value, type) and value.__module__ == module.__name__:
                monkeypatch.setattr(value, "__module__", "model")
                setattr(authors, name, value)
    monkeypatch.setitem(sys.modules, "model", authors)


def same(tensors: dict[str, torch.Tensor], network: nn.Module) -> bool:
    state = network.state_dict()
    return list(tensors) == list(state) and all(
        torch.equal(tensors[name], state[name]) and tensors[name].dtype == state[name].dtype for name in state
    )


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.usefixtures("released_names")
def test_both_formats_of_torch_save_and_data_parallel_load(
    tmp_path: Path, new_format: bool, parallel: bool
) -> None:
    torch.manual_seed(0)
    network = aasist.AASIST()
    saved = nn.DataParallel(network) if parallel else network
    torch.save(saved, tmp_path / "m.pt", _use_new_zipfile_serialization=new_format)
    checkpoint = read_published_checkpoint(tmp_path / "m.pt")
    assert checkpoint.class_name == "model.AASIST"
    assert same(checkpoint.tensors, network)


@pytest.mark.usefixtures("released_names")
def test_views_and_transient_buffers_are_read_as_torch_does(tmp_path: Path) -> None:
    network = lcnn.LCNN((32, 32), enc_dim=4)  # channels last: its strides are not contiguous
    network.fc_mu.weight = nn.Parameter(torch.arange(20.0).view(4, 5)[:, 1:3].t())
    network.register_buffer("window", torch.ones(3), persistent=False)
    network.register_buffer("absent", None)
    torch.save(network, tmp_path / "m.pt")
    tensors = read_published_checkpoint(tmp_path / "m.pt").tensors
    assert same(tensors, network)
    assert all(tensor.is_contiguous() for tensor in tensors.values())


def test_the_released_checkpoint_loads(shared: Path) -> None:
    checkpoint = read_published_checkpoint(shared / SHARED_FILE)
    assert (checkpoint.class_name, len(checkpoint.tensors)) == ("model.W2VAASIST", 245)
    network = aasist.AASIST()
    network.load_state_dict(checkpoint.tensors)


# What must be refused


class Calls:
    """Pickles as a call that would run when it is unpickled."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def write_zip(path: Path, stream: bytes, storages: dict[str, bytes] | None = None, **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", stream)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
        archive.writestr("archive/version", "3\n")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CodecfakeError) as error:
        read_published_checkpoint(path)
    message = str(error.value)
    assert path.name in message and "nothing in it was run" in message and "Next:" in message
    return message


def hidden(payload: object) -> dict[str, object]:
    """A payload in the places of a network where one could be overlooked."""
    hook, module = OrderedDict(hook=payload), nn.Linear(1, 1)
    module._forward_hooks = hook
    attribute = nn.Linear(1, 1)
    attribute.note = payload
    return {
        "alone": payload,
        "in a list": [1, [payload]],
        "as a dictionary's value": OrderedDict(weight=payload),
        "as a dictionary's key": {payload: 1},
        "as a hook": nn.Sequential(module),
        "as an attribute": nn.DataParallel(attribute),
    }


@pytest.mark.parametrize("place", hidden(None))
@pytest.mark.parametrize("format", ["zip", "old"])
def test_a_call_is_refused_wherever_it_hides(tmp_path: Path, place: str, format: str) -> None:
    marker = tmp_path / "marker"
    payload = hidden(Calls(os.system, f"touch {marker}"))[place]
    torch.save(payload, tmp_path / "m.pt", _use_new_zipfile_serialization=format == "zip")
    assert f"{os.system.__module__}.system" in refusal(tmp_path / "m.pt")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (lambda marker: Calls(builtins.exec, f"open({str(marker)!r}, 'w')"), "exec"),
        (lambda marker: Calls(builtins.eval, f"open({str(marker)!r}, 'w')"), "eval"),
        (lambda marker: Calls(getattr, Calls(__import__, "os"), "system"), "getattr"),
        (lambda marker: Calls(Path.touch, marker), "getattr"),
        (lambda marker: Calls(torch.load, str(marker)), "torch.serialization.load"),
        (lambda marker: Calls(torch.hub.load, str(marker), "x"), "torch.hub.load"),
        (lambda marker: Calls(torch._utils._rebuild_tensor_v2, 1, 2), "_rebuild_tensor_v2(1, 2)"),
        (lambda marker: Calls(OrderedDict, [("a", 1)]), "OrderedDict(a list)"),
        (lambda marker: Calls(set, [1]), "set(a list)"),
        (lambda marker: Calls(nn.Linear, 10**9, 10**9), "Linear(1000000000, 1000000000)"),
        (lambda marker: torch.Size([1]), "torch.Size"),
        (lambda marker: marker, "pathlib"),
        (lambda marker: b"bytes", "_codecs.encode"),
    ],
)
def test_other_names_and_calls_are_refused_by_name(tmp_path: Path, payload: Callable, named: str) -> None:
    marker = tmp_path / "marker"
    write_zip(tmp_path / "m.pt", pickle.dumps(payload(marker), protocol=2))
    assert named in refusal(tmp_path / "m.pt")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("stream", "named"),
    [
        (b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00true\x85R.", "os.system"),
        (b"\x80\x02(ios\nsystem\n.", "operation INST"),
        (b"\x80\x02(cmodel\nLCNN\no.", "operation OBJ"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "operation"),
        (b"\x80\x02\x82\x01.", "operation EXT1"),
        (b"\x80\x02\x83\x01\x00.", "operation EXT2"),
        (b"\x80\x02P1\n.", "operation PERSID"),
        (b"\x80\x02cmodel\nLCNN\n)}\x92.", "operation NEWOBJ_EX"),
        (b"\x80\x02cmodel\nLCNN\n)\x81(X\x0c\x00\x00\x00__setstate__cmodel\nLCNN\nub.", "where it does not"),
        (b"\x80\x02ccollections\nOrderedDict\n)R}b.", "a dict where it does not belong"),
        (b"\x80\x02cmodel\nLCNN\n)R.", "the call model.LCNN()"),
        (b"\x80\x02cmodel\nLCNN\nK\x01\x85\x81.", "model.LCNN"),
        (b"\x80\x02ctorch\nFloatStorage\n)\x81.", "torch.FloatStorage"),
        (b"\x80\x02ctorch.nn.modules.linear\nLinear.forward\n.", "Linear.forward"),
        (b"\x80\x02cmodel\n__builtins__.eval\n.", "__builtins__.eval"),
        (b"\x80\x02(.", "where it does not belong"),
        (b"\x80\x02}]K\x01s.", "a list as a key"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"\x80\x02r\xff\xff\xff\xff.", "damaged"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f\x00.", "damaged"),
        (b"\x80\x02" + b"]" * 100, "damaged"),
        (b"", "damaged"),
        (b"\x80\x02K\x01.", "no network"),
        (b"\x80\x02}.", "no network"),
        (b"\x80\x02cmodel\nLCNN\n)\x81.", "without _buffers"),
        (b"\x80\x02ctorch.nn.parallel.data_parallel\nDataParallel\n)\x81.", "without _modules"),
    ],
)
def test_other_operations_and_memo_games_are_refused(tmp_path: Path, stream: bytes, named: str) -> None:
    write_zip(tmp_path / "m.pt", stream)
    assert named in refusal(tmp_path / "m.pt")


def test_reading_imports_and_creates_nothing() -> None:
    """A class of the right module is a record, even where such a module can be imported."""
    value, _ = read_inert(io.BytesIO(b"\x80\x02cmodel\nAnything\n)\x81}X\x01\x00\x00\x00cK\x01sb."))
    assert (type(value).__name__, value.class_name) == ("Module", "model.Anything")
    assert "model" not in sys.modules


class Persistent(pickle.Pickler):
    """Writes a tuple that starts with "storage" as a persistent identifier."""

    def persistent_id(self, value: object) -> object:
        return value if isinstance(value, tuple) and value[:1] == ("storage",) else None


def network_of(storage: tuple, offset: object, shape: object, strides: object) -> bytes:
    """The pickle of a module with one parameter, with these sizes in it."""
    module = nn.Module()
    tensor = Calls(torch._utils._rebuild_tensor_v2, storage, offset, shape, strides, False, OrderedDict())
    module.__dict__["_parameters"] = {"weight": tensor}
    stream = io.BytesIO()
    Persistent(stream, protocol=2).dump(module)
    return stream.getvalue()


def storage(key: object = "0", elements: object = 4, kind: type = torch.FloatStorage) -> tuple:
    return ("storage", kind, key, "cpu", elements)


def test_the_malformed_tensors_below_are_made_of_a_sound_one(tmp_path: Path) -> None:
    stream = network_of(storage(), 1, (3,), (1,))
    write_zip(tmp_path / "m.pt", stream, {"0": struct.pack("<4f", 1, 2, 3, 4)})
    assert read_published_checkpoint(tmp_path / "m.pt").tensors["weight"].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("stream", "named"),
    [
        (network_of(storage(), 0, (5,), (1,)), "beyond its storage"),
        (network_of(storage(), 1, (4,), (1,)), "beyond its storage"),
        (network_of(storage(), 0, (2, 2), (3, 1)), "beyond its storage"),
        (network_of(storage(), 2**62, (1,), (1,)), "beyond its storage"),
        (network_of(storage(), 0, (10**15,), (0,)), "beyond its storage"),
        (network_of(storage(), 0, (-1,), (1,)), "beyond its storage"),
        (network_of(storage(), -1, (1,), (1,)), "beyond its storage"),
        (network_of(storage(), 3, (2,), (-1,)), "beyond its storage"),
        (network_of(storage(), 0, (2,), (1, 1)), "beyond its storage"),
        (network_of(storage(), 0, (0, 2**70), (1, 1)), "beyond its storage"),
        (network_of(storage(), 0, (1,), (2**70,)), "beyond its storage"),
        (network_of(storage(), 0, (1,) * 100, (1,) * 100), "beyond its storage"),
        (network_of(storage(elements=0), 0, (1,), (1,)), "beyond its storage"),
        (network_of(storage(), 0, (2.0,), (1,)), "not whole numbers"),
        (network_of(storage(), True, (2,), (1,)), "not whole numbers"),
        (network_of(storage(), 0, [2], [1]), "without a storage"),
        (network_of(storage(elements=10**12), 0, (2,), (1,)), "'archive/data/0'"),
        (network_of(storage(elements=-4), 0, (2,), (1,)), "-4 elements"),
        (network_of(storage(elements=2, kind=torch.LongStorage), 0, (3,), (1,)), "beyond its storage"),
        (network_of(storage(kind=torch.LongStorage), 0, (4,), (1,)), "'archive/data/0'"),
        (network_of(storage(kind=torch.ByteStorage), 0, (4,), (1,)), "torch.ByteStorage"),
        (network_of(storage(key="7"), 0, (4,), (1,)), "'archive/data/7'"),
        (network_of(storage(key="../version"), 0, (4,), (1,)), "'../version'"),
        (network_of(storage(key="/etc/passwd"), 0, (4,), (1,)), "'/etc/passwd'"),
        (network_of(storage(key=0), 0, (4,), (1,)), "persistent identifier ('storage'"),
        (network_of(("storage", os.system, "0", "cpu", 4), 0, (4,), (1,)), "system"),
        (network_of(("storage",), 0, (4,), (1,)), "persistent identifier"),
    ],
)
def test_tensors_outside_of_their_storage_are_refused(tmp_path: Path, stream: bytes, named: str) -> None:
    write_zip(tmp_path / "m.pt", stream, {"0": bytes(16)})
    assert named in refusal(tmp_path / "m.pt")


def test_deep_nesting_and_long_names_end_in_a_short_message(tmp_path: Path) -> None:
    write_zip(tmp_path / "m.pt", b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")
    assert "no network" in refusal(tmp_path / "m.pt")
    write_zip(tmp_path / "m.pt", b"\x80\x02cmodel\n" + b"A" * 100_000 + b"\n)R.")
    assert len(refusal(tmp_path / "m.pt")) < 1000
    pickles = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, OrderedDict(), ["0", ["1"]]]
    (tmp_path / "m.pt").write_bytes(b"".join(pickle.dumps(value, protocol=2) for value in pickles))
    assert "other storages" in refusal(tmp_path / "m.pt")


def test_few_bytes_do_not_become_many(tmp_path: Path) -> None:
    tensor = Calls(
        torch._utils._rebuild_tensor_v2, storage(elements=4096), 0, (4096,), (1,), False, OrderedDict()
    )
    module = nn.Module()
    module.__dict__["_parameters"] = {str(number): tensor for number in range(500)}
    stream = io.BytesIO()
    Persistent(stream, protocol=2).dump(module)
    write_zip(tmp_path / "m.pt", stream.getvalue(), {"0": bytes(4 * 4096)})
    assert "bytes of tensors in" in refusal(tmp_path / "m.pt")

    packed = write_zip(tmp_path / "z.pt", b"\x80\x02}." + bytes(10**6), compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(packed)
    long = write_zip(tmp_path / "l.pt", b"\x80\x02" + b"N0" * 10**6 + b"}.")
    assert "without the data.pkl" in refusal(long)


def test_a_network_within_itself_ends(tmp_path: Path) -> None:
    outer = nn.Module()
    outer.__dict__["_modules"] = {"a": outer, "b": outer}
    write_zip(tmp_path / "m.pt", pickle.dumps(outer, protocol=2))
    assert "contains itself" in refusal(tmp_path / "m.pt")


def test_repeated_entries_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data.pkl", b"\x80\x02].")
    assert "repeated" in refusal(tmp_path / "m.pt")


def test_damaged_files_are_told_apart(tmp_path: Path, released_names: None) -> None:
    network = lcnn.LCNN((32, 32))
    torch.save(network, tmp_path / "new.pt")
    torch.save(network, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    path = tmp_path / "damaged.pt"
    for name in ("new.pt", "old.pt"):
        content = (tmp_path / name).read_bytes()
        for end in (3, 100, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:end])
            refusal(path)
    content = bytearray((tmp_path / "new.pt").read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in refusal(path)
    for content, named in [
        (b"", "no bytes"),
        (b"\x00" * 100, "does not write"),
        (b"<html>not found</html>", "does not write"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS"),
        (pickle.dumps({"a": 1}, protocol=2), "did not write"),
        (b"PK\x03\x04" + bytes(50), "damaged"),
    ]:
        path.write_bytes(content)
        assert named in refusal(path)
    for absent in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(CodecfakeError, match="is not a file"):
            read_published_checkpoint(absent)


# Import


@pytest.mark.usefixtures("released_names")
@pytest.mark.parametrize(
    ("network", "model", "input_shape"),
    [
        (lambda: lcnn.LCNN((505, 80), enc_dim=64), "mel-lcnn", [505, 80]),
        (lambda: lcnn.LCNN((1024, 201)), "w2v2-lcnn", [1024, 201]),
        (lambda: nn.DataParallel(aasist.AASIST()), "w2v2-aasist", [1024, 201]),
    ],
)
def test_import_recognises_the_network(
    tmp_path: Path, network: Callable, model: str, input_shape: list[int]
) -> None:
    saved = network()
    torch.save(saved, tmp_path / "m.pt")
    description = import_checkpoint(tmp_path / "m.pt", tmp_path / "out")
    assert (description["model"], description["network"]["input_shape"]) == (model, input_shape)
    assert description["front_end"].get("compression", "none") == "none"
    assert description["imported"]["file"] == "m.pt" and len(description["imported"]["assumed"]) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [DESCRIPTION_FILE, WEIGHTS_FILE]
    plain = saved.module if isinstance(saved, nn.DataParallel) else saved
    stored = load_file(tmp_path / "out" / WEIGHTS_FILE)
    assert all(torch.equal(stored[name], tensor) for name, tensor in plain.state_dict().items())
    assert import_checkpoint(tmp_path / "m.pt", tmp_path / "out") == description


@pytest.mark.usefixtures("released_names")
def test_an_imported_mel_detector_scores_like_the_authors(tmp_path: Path) -> None:
    """Plain mel power, frames before bands."""
    torch.manual_seed(0)
    network = lcnn.LCNN((505, 80))
    torch.save(network, tmp_path / "m.pt")
    import_checkpoint(tmp_path / "m.pt", tmp_path / "out")
    detector, _ = load_detector(tmp_path / "out", "cpu")
    waves = 0.1 * torch.randn(2, 64_600)
    power = detector.front_end.power(waves).transpose(1, 2).unsqueeze(1)
    with torch.no_grad():
        torch.testing.assert_close(detector(waves), network.eval()(power), atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("released_names")
def test_import_refuses_other_networks_and_other_folders(tmp_path: Path) -> None:
    def refused(network: nn.Module) -> str:
        torch.save(network, tmp_path / "m.pt")
        with pytest.raises(CodecfakeError) as error:
            import_checkpoint(tmp_path / "m.pt", tmp_path / "out")
        assert not (tmp_path / "out" / DESCRIPTION_FILE).exists()
        return str(error.value)

    assert "none of mel-lcnn" in refused(nn.Linear(3, 3))
    assert "none of mel-lcnn" in refused(lcnn.LCNN((60, 505)))
    assert "none of mel-lcnn" in refused(aasist.AASIST(height=768))
    changed = aasist.AASIST()
    del changed.drop_way, changed.master1
    assert "master1: absent in the file" in refused(changed)
    broken = lcnn.LCNN((80, 505))
    nn.init.constant_(broken.fc_mu.bias, float("nan"))
    assert "fc_mu.bias" in refused(broken)

    torch.save(lcnn.LCNN((80, 505)), tmp_path / "a.pt")
    torch.save(lcnn.LCNN((80, 505)), tmp_path / "b.pt")
    import_checkpoint(tmp_path / "a.pt", tmp_path / "out")
    with pytest.raises(CodecfakeError, match="another detector"):
        import_checkpoint(tmp_path / "b.pt", tmp_path / "out")


def test_the_command_says_what_it_assumed(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from codecfake.flows.commands.detector_import import import_detector

    import_detector(shared / SHARED_FILE, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "w2v2-aasist" in printed and "Assumed: the features are hidden state 5 of XLS-R-300M" in printed
    assert f"Next: codecfake score DATA --detector {tmp_path / 'out'}" in printed
