"""The contract check finds what it is there to find: each fault fails its own check, and a sound codec none."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from codecfake.codec_adapters import CodecAdapter, CodecCard, OfficialCheckpoint, WeightsFile, registry
from codecfake.codec_adapters.contract import CHECKS, check_adapter, check_card
from codecfake.flows.commands import codec_checks

CARD = CodecCard(
    id="sound",
    name="sound-8khz",
    title="8-bit samples",
    paper="none",
    sample_rate=8_000,
    hop_length=80,
    codebooks=80,
    codebook_size=256,
    padding="zeros to whole frames",
    batches="right padding exact",
    context_seconds=0.05,
    code_licence="MIT",
    weights_licence="none",
    training_data="none",
    checkpoint=OfficialCheckpoint(
        name="sound",
        files=(WeightsFile(path="sound.pt", megabytes=1, urls=("https://example.org/sound.pt",)),),
    ),
    network={"strides": [8, 10]},
)


class Sound(CodecAdapter):
    """Rounds every sample to 8 bits."""

    card = CARD

    def load(self, checkpoint, network=None):
        raise NotImplementedError

    def load_random(self, seed=0):
        pass

    def codes(self, waves):
        return ((waves.clamp(-1, 1) + 1) * 127.5).round().long().unflatten(1, (-1, 80)).transpose(1, 2)

    def reconstruct(self, waves):
        return self.codes(waves).transpose(1, 2).flatten(1) / 127.5 - 1


def failures(adapter: CodecAdapter, *, trained: bool = True) -> dict[str, str]:
    return {
        result.name: result.found for result in check_adapter(adapter, trained=trained) if result.ok is False
    }


def test_a_sound_codec_keeps_the_contract():
    results = check_adapter(Sound(), trained=True)
    assert [result.name for result in results] == list(CHECKS)
    assert {result.name: result.found for result in results if not result.ok} == {}


class Shortens(Sound):
    def reconstruct(self, waves):
        return super().reconstruct(waves)[:, :-1]


class Trains(Sound):
    def __init__(self):
        super().__init__()
        self.network = torch.nn.Dropout(0.1)

    def reconstruct(self, waves):
        return self.network(super().reconstruct(waves))


class NormalisesTheBatch(Sound):
    def reconstruct(self, waves):
        return super().reconstruct(waves) * (1 + waves.std())


class PadsTogether(Sound):
    card = replace(CARD, batches="equal length only")

    def codes(self, waves):
        return super().codes(waves + waves.mean(dim=1, keepdim=True) + waves.std(dim=1, keepdim=True))

    def resynthesize(self, waves, sample_rate, output_rate=None):
        longest = max(map(len, waves))
        padded = [np.pad(wave, (0, longest - len(wave))) for wave in waves]
        results = super().resynthesize(padded, sample_rate, output_rate)
        return [result[: len(wave)] for result, wave in zip(results, waves, strict=True)]


class ClaimsTooMuch(Sound):
    def codes(self, waves):
        return super().codes(waves + waves.std(dim=1, keepdim=True))


class DividesByLevel(Sound):
    def reconstruct(self, waves):
        level = waves.square().mean(dim=1, keepdim=True).sqrt()
        return super().reconstruct(waves) / level * level


class Louder(Sound):
    def reconstruct(self, waves):
        return 4 * super().reconstruct(waves)


class Late(Sound):
    def reconstruct(self, waves):
        return super().reconstruct(waves).roll(40, dims=1)


class MoreCodes(Sound):
    card = replace(CARD, codebooks=8)


class Half(Sound):
    def __init__(self):
        super().__init__()
        self.network = torch.nn.Linear(2, 2).half().eval()


class TakesNothing(Sound):
    def prepare(self, wave, sample_rate):
        return super().prepare(wave if wave.size else np.zeros(1, np.float32), sample_rate)


@pytest.mark.parametrize(
    ("family", "failing", "word"),
    [
        (Shortens, "length", "at least as many samples"),
        (Trains, "network", "training mode"),
        (Trains, "repeat", "at "),
        (NormalisesTheBatch, "batch", "0 of 240 frames"),
        (PadsTogether, "unequal", "as alone, at"),
        (ClaimsTooMuch, "padding", "frames with other codes"),
        (DividesByLevel, "extremes", "silence"),
        (Louder, "level", "+12.1 dB"),
        (Late, "alignment", "40 samples late"),
        (MoreCodes, "codes", "the card says (1, 8, 60)"),
        (Half, "network", "half precision"),
        (TakesNothing, "bad input", "no samples: taken"),
    ],
)
def test_a_fault_fails_its_check(family, failing, word):
    assert word in failures(family())[failing]


def test_random_weights_are_not_judged_by_their_level_or_delay():
    assert {"level", "alignment"}.isdisjoint(failures(Louder(), trained=False))
    results = {result.name: result for result in check_adapter(Louder(), trained=False)}
    assert (results["level"].ok, results["level"].found) == (None, "+12.1 dB")


def test_padding_that_is_not_claimed_to_be_exact_is_measured_and_not_judged():
    results = {result.name: result for result in check_adapter(PadsTogether(), trained=True)}
    assert results["padding"].ok is None
    assert "frames with other codes" in results["padding"].found


def test_chunks_of_the_check_leave_the_usual_ones_alone():
    adapter = Shortens()
    check_adapter(adapter, trained=True)
    assert adapter.chunk_seconds == CodecAdapter.chunk_seconds


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"id": "my_codec"}, "letters, digits and hyphens"),
        ({"id": "real"}, "not 'real'"),
        ({"hop_length": 0}, "hop_length of 0"),
        ({"sample_rate": 16}, "16 Hz"),
        ({"codebook_size": 1}, "80 codebooks of 1"),
        ({"weights_licence": " "}, "weights_licence is empty"),
        ({"network": {"strides": {8, 10}}}, "not JSON serializable"),
    ],
)
def test_a_bad_card_is_described(change, word):
    result = check_card(replace(CARD, **change))
    assert result.ok is False
    assert word in result.found


def named(base: type[CodecAdapter], codec_id: str) -> type[CodecAdapter]:
    return type(codec_id, (base,), {"card": replace(CARD, id=codec_id)})


@pytest.fixture
def check(monkeypatch):
    """`codecs check`, with three codecs built in."""
    families = {"sound": named(Sound, "sound"), "same": named(Sound, "same"), "loud": named(Louder, "loud")}
    monkeypatch.setattr(registry, "built_in_codecs", lambda: families)
    monkeypatch.setattr(registry, "external_codecs", dict)
    monkeypatch.setattr(Louder, "load_random", lambda self, seed=0: 1 / 0)
    app = typer.Typer()
    app.command()(codec_checks.check)
    return lambda *words: CliRunner().invoke(app, words)


def test_the_command_shows_the_checks_of_one_codec(check):
    result = check("sound", "--random-weights")
    assert result.exit_code == 0, result.output
    assert "Contract of sound" in result.stdout
    assert "0 of 240 frames" in result.stdout


def test_the_command_says_what_fails_and_ends_with_1(check):
    result = check("--all", "--random-weights")
    assert result.exit_code == 1
    assert "loud, load: division by zero" in result.stdout
    assert "Contract, loud to sound" in result.stdout
    assert "same: ok" in result.stderr
    assert "sound: ok (as same)" in result.stderr, "a network that two codecs share was run twice"


def test_the_command_gives_json(check):
    result = check("sound", "same", "--random-weights", "--json")
    reports = json.loads(result.stdout)
    assert [(report["codec"], report["ok"], report["same_as"]) for report in reports] == [
        ("sound", True, None),
        ("same", True, "sound"),
    ]
    assert [found["name"] for found in reports[1]["results"]] == ["load", *CHECKS]


def test_weights_that_are_not_there_fail_the_check(check, tmp_path):
    result = check("sound", "--weights", str(tmp_path))
    assert result.exit_code == 1
    assert "sound.safetensors" in result.stdout


@pytest.mark.parametrize("words", [(), ("sound", "--random-weights", "--weights", "mini")])
def test_contradictory_or_empty_requests_are_refused(check, words):
    assert check(*words).exit_code == 2
