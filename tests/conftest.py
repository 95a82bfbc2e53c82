"""Fixtures that several test modules share."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import outside_codec
import pytest
import speech
from outside_codec import OutsideCodec


@pytest.fixture(autouse=True, scope="session")
def one_thread_per_network() -> None:
    """Small networks run faster on one thread, above all beside other work."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def states_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where commands keep what they keep of the user's, in this process and in those that it starts."""
    folder = tmp_path_factory.mktemp("states")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips and published score files, which a user of the repository does not have."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder with real test clips is not beside this checkout")
    return folder


@dataclass(frozen=True)
class Corpora:
    vctk: Path
    aishell3: Path

    @property
    def options(self) -> list[str]:
        return ["--vctk", str(self.vctk), "--aishell3", str(self.aishell3)]


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Corpora:
    """Twelve VCTK and nine AISHELL-3 utterances; tests must not change them."""
    folder = tmp_path_factory.mktemp("corpora")
    return Corpora(speech.write_vctk(folder / "vctk"), speech.write_aishell3(folder / "aishell3"))


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutsideCodec:
    """The codec X1 of another package, installed for this test."""
    site, weights = outside_codec.install(tmp_path / "outside")
    monkeypatch.syspath_prepend(site)
    return OutsideCodec(site, weights)
