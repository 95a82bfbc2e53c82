"""Damaged and made-up checkpoints: read as data or refused, never run, never more memory than the file has bytes."""

import io
import sys
import types
import zipfile

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import damaged
from torch import nn

from codecfake.detector.inert_pickle import MAXIMUM_BYTES
from codecfake.detector.published_checkpoints import read_published_checkpoint
from codecfake.detector.published_import import import_checkpoint
from codecfake.manifests.errors import CodecfakeError

pytestmark = pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")


class Net(nn.Module):
    """A small network under the name of the authors' module."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)


def _saved(**options) -> bytes:
    before = sys.modules.get("model")
    sys.modules["model"] = authors = types.ModuleType("model")
    authors.Net, Net.__module__ = Net, "model"
    buffer = io.BytesIO()
    try:
        torch.save(Net(), buffer, **options)
    finally:
        Net.__module__ = __name__
        del sys.modules["model"]
        if before:
            sys.modules["model"] = before
    return buffer.getvalue()


NEW, OLD = _saved(), _saved(_use_new_zipfile_serialization=False)
with zipfile.ZipFile(io.BytesIO(NEW)) as archive:
    ENTRIES = {name: archive.read(name) for name in archive.namelist()}
PICKLE = next(name for name in ENTRIES if name.endswith("/data.pkl"))


def with_pickle(content: bytes) -> bytes:
    """The new format with another pickle in it, so that only the pickle is wrong."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, entry in ENTRIES.items():
            archive.writestr(name, content if name == PICKLE else entry)
    return buffer.getvalue()


FAR_AWAY = bytearray(NEW)
DIRECTORY = FAR_AWAY.rindex(b"PK\x01\x02")
FAR_AWAY[DIRECTORY + 42 : DIRECTORY + 46] = b"\xff" * 4


@given(content=damaged(NEW, OLD) | damaged(ENTRIES[PICKLE]).map(with_pickle) | st.binary(max_size=200))
@example(content=NEW)
@example(content=bytes(FAR_AWAY))
@example(content=with_pickle(b"\x80\x02" + b"]" * 100_000 + b"."))
@example(content=with_pickle(b"\x80\x02(" + b"t" * 10 + b"."))
@example(content=with_pickle(b"\x80\x02]q\x00" + b"h\x00h\x00\x86q\x00" * 1_000 + b"."))
@example(content=with_pickle(b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b"."))
def test_any_checkpoint_is_read_or_refused(tmp_path, content):
    path = tmp_path / "m.pt"
    path.write_bytes(content)
    try:
        tensors = read_published_checkpoint(path).tensors
    except CodecfakeError as error:
        assert len(str(error)) < 2_000
    else:
        assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) <= len(content)
    with pytest.raises(CodecfakeError):
        import_checkpoint(path, tmp_path / "detector")


def test_one_long_operation_is_not_read_into_memory(tmp_path):
    path = tmp_path / "m.pt"
    length = 64 << 20
    with path.open("wb") as file:
        file.write(b"\x80\x02X" + length.to_bytes(4, "little"))
        file.truncate(length + 10)
    assert length > MAXIMUM_BYTES
    with pytest.raises(CodecfakeError, match="damaged pickle"):
        read_published_checkpoint(path)


def test_pipes_and_folders_are_no_checkpoints(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", tmp_path):
        with pytest.raises(CodecfakeError, match="is not a file"):
            read_published_checkpoint(path)
