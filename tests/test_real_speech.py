"""Real VCTK and AISHELL-3 clips through the codecs that ship: the report, the counts, and intelligible fakes."""

from collections import Counter

import numpy as np
import pytest
import soundfile
from pystoi import stoi
from run_helpers import build_here, manifest

from codecfake.codec_adapters.presets import PRESETS
from codecfake.detector.audit.separation import MARGIN_PERCENT, Kind
from codecfake.flows.audit import audit_files
from codecfake.flows.audit_material import gather
from codecfake.pipeline.config import make_config
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.status import planned_shards
from codecfake.pipeline.verification import verify

LOWEST_STOI = 0.70
"""What the mini networks reach at least on real speech they never heard, per codec, on average."""


@pytest.fixture(scope="module")
def run(shared, tmp_path_factory):
    corpora = shared / "corpora"
    config = make_config(
        {
            "vctk": corpora / "VCTK-Corpus-0.92",
            "aishell3": corpora / "data_aishell3",
            "out": tmp_path_factory.mktemp("real") / "run",
            "weights": "mini",
            "device": "cpu",
        }
    )
    build_here(config)
    return config


def test_every_clip_becomes_a_real_file_and_a_fake_per_codec(run):
    rows = manifest(run.out)
    counts = Counter(row["codec"] for row in rows)
    assert counts == dict.fromkeys(("real", *PRESETS["codecfake"]), 43)
    assert {row["corpus"] for row in rows} == {"vctk", "aishell3"}
    assert verify(run.out, planned_shards(run), Monitor()).is_whole


def test_the_fakes_are_intelligible_and_as_loud(run):
    rows = manifest(run.out)

    def read(row):
        return soundfile.read(run.out / row["path"])[0]

    real = {row["utterance_id"]: read(row) for row in rows if row["codec"] == "real"}
    for codec in PRESETS["codecfake"]:
        fakes = {row["utterance_id"]: read(row) for row in rows if row["codec"] == codec}
        scores = [stoi(real[name], fake, 16_000) for name, fake in fakes.items()]
        assert np.mean(scores) > LOWEST_STOI, codec
        level = [20 * np.log10(fake.std() / real[name].std()) for name, fake in fakes.items()]
        assert abs(np.median(level)) < 3, codec


def test_an_audit_of_the_default_build_finds_no_shortcut(run):
    material = gather(run.out, None, None, limit=0)
    found, _ = audit_files(run.out, material, Monitor(), margin=MARGIN_PERCENT, rounds=200)
    assert found.named(Kind.SHORTCUT) == []
    assert not found.unreadable
