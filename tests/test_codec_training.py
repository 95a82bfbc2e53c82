"""Training of codec networks: every family learns, resumes exactly, and hands out plain networks."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing, nn

from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.nn.quantization import ResidualVectorQuantizer
from codecfake.codec_adapters.registry import find_codec
from codecfake.codec_adapters.training.codebooks import Dropout, RunningMeanLearner
from codecfake.codec_adapters.training.discriminators import (
    FAMILIES,
    adversarial_loss,
    build_discriminators,
    discriminator_loss,
    feature_distance,
)
from codecfake.codec_adapters.training.losses import LossWeights, ReconstructionLoss, spectra_of
from codecfake.codec_adapters.training.recipes import Recipe, recipe_for
from codecfake.codec_adapters.training.session import CodecTraining, StepReport, TrainingDivergedError

RATE = 16_000
SEANET = {
    "filters": 4,
    "ratios": [8, 8],
    "dimension": 8,
    "codebooks": 2,
    "codebook_size": 16,
    "lstm_layers": 1,
}
NETWORKS = {
    "F01": {"channels": 4, "strides": [2, 2], "codebooks": 2, "codebook_size": 16},
    "F02": {**SEANET, "causal": False, "bidirectional_encoder": True},
    "F03": {**SEANET, "causal": False, "group_norm": True, "level_normalised": True},
    "F04": {**SEANET, "causal": True},
    "F05": {
        "channels": 4,
        "channel_ratios": [2, 4],
        "strides": [4, 8],
        "latent_channels": 8,
        "codebooks": 2,
        "codebook_size": 16,
        "vocoder_channels": 16,
        "vocoder_strides": [8, 4],
        "vocoder_kernel_sizes": [3],
        "vocoder_groups": 3,
    },
    "F06": {
        "encoder_channels": 8,
        "decoder_channels": 16,
        "strides": [8, 4],
        "kernel_sizes": [16, 8],
        "block_kernel_sizes": [3],
        "groups": 2,
        "layers": 2,
        "codebook_size": 16,
    },
    "F07": {
        "sampling_rate": RATE,
        "encoder_hidden_size": 4,
        "decoder_hidden_size": 16,
        "downsampling_ratios": [8, 8],
        "upsampling_ratios": [8, 8],
        "n_codebooks": 2,
        "codebook_size": 16,
        "codebook_dim": 4,
    },
}
"""Of few weights, and of the topology of the published ones."""

ADVERSARIAL = {
    "discriminators": ("multi-scale STFT", "multi-period", "multi-scale wave"),
    "discriminator_channels": 4,
    "losses": LossWeights(adversarial=1.0, feature_matching=1.0),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_recipe(codec: str, **changes: Any) -> Recipe:
    by_place = {"codebooks_learn_by": "principal directions", "encoder_steps": 20} if codec == "F07" else {}
    values = {
        "codec": codec,
        "network": NETWORKS[codec],
        "sample_rate": RATE,
        "hop_length": 64,
        "crop_samples": 2560,
        "batch_size": 2,
        "steps": 36,
        "warmup_steps": 20,
        "learning_rate": 4e-3,
        "losses": LossWeights(wave=1.0),
        "fft_sizes": (1024, 512, 128),
        "averaging": 0.9,
        **by_place,
    }
    return Recipe(**(values | changes))


def build(recipe: Recipe) -> nn.Module:
    torch.manual_seed(1)
    return find_codec(recipe.codec)().build(recipe.network)


def start(recipe: Recipe, seed: int = 3) -> CodecTraining:
    training = CodecTraining(build(recipe), recipe, seed=seed)
    training.initialise(crops(recipe, 0))
    return training


def crops(recipe: Recipe, step: int) -> torch.Tensor:
    """Tones that swell, other ones every step."""
    generator = torch.Generator().manual_seed(step)
    pitches = 100 + 300 * torch.rand(recipe.batch_size, 1, generator=generator)
    seconds = torch.arange(recipe.crop_samples) / recipe.sample_rate
    return 0.3 * torch.sin(2 * torch.pi * pitches * seconds) * (1 + torch.sin(40 * seconds))


class LateEcho(nn.Module):
    """Gives what it hears 40 samples later."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, 1, 1)
        self.quantizer = ResidualVectorQuantizer(1, 2, 1)
        self.decoder = nn.Sequential(nn.ConstantPad1d((40, -40), 0.0), nn.Conv1d(1, 1, 1))
        for layer in (self.encoder, self.decoder[1]):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def test_a_network_may_answer_as_late_as_its_recipe_says() -> None:
    plain = tiny_recipe("F05", data_dependent_start=False, weight_norm=False, working_level=0.1)
    reports = {
        late: CodecTraining(LateEcho(), replace(plain, delay_samples=late), seed=0).step(crops(plain, 0))
        for late in (0, 40)
    }
    assert reports[40].losses["wave"] < 1e-6 < 0.1 < reports[0].losses["wave"]


def take(training: CodecTraining, steps: range) -> list[StepReport]:
    return [training.step(crops(training.recipe, step)) for step in steps]


def told(reports: list[StepReport]) -> list[Mapping[str, float]]:
    return [report.losses for report in reports]


def reconstruct(network: nn.Module, codec: str, waves: torch.Tensor) -> torch.Tensor:
    adapter = find_codec(codec)()
    adapter.network = network
    with torch.no_grad():
        return adapter.reconstruct(waves)


@pytest.mark.parametrize("codec", NETWORKS)
def test_the_loss_of_every_family_falls_and_its_codebooks_are_used(codec: str) -> None:
    recipe = tiny_recipe(codec)
    training = start(recipe)
    reports = take(training, range(recipe.steps))
    assert [report.step for report in reports] == list(range(1, 37))
    assert [report.quantised for report in reports] == [False] * 20 + [True] * 16
    totals = torch.tensor([report.losses["total"] for report in reports])
    assert totals[16:20].mean() < 0.85 * totals[:4].mean()
    assert totals[-4:].mean() < totals[:4].mean()
    network = training.averaged()
    adapter = find_codec(codec)()
    adapter.network = network
    with torch.no_grad():
        codes = network.encode(crops(recipe, 0)[:, None]).audio_codes if codec == "F07" else None
        codes = network.encode(crops(recipe, 0), 2).codes if codes is None else codes
    assert codes.unique().numel() > 2


@pytest.mark.parametrize("codec", NETWORKS)
def test_a_handed_out_network_is_plain_and_loads(codec: str) -> None:
    recipe = tiny_recipe(codec, steps=23, averaging=0.0)
    training = start(recipe)
    take(training, range(22))
    first = training.averaged()
    assert set(first.state_dict()) == set(build(recipe).state_dict())
    waves = crops(recipe, 0)
    expected = reconstruct(first, codec, waves)
    assert torch.isfinite(expected).all()
    loaded = build(recipe).eval()
    loaded.load_state_dict(first.state_dict(), strict=True)
    torch.testing.assert_close(reconstruct(loaded, codec, waves), expected)
    take(training, range(22, 23))
    torch.testing.assert_close(reconstruct(first, codec, waves), expected)
    assert not torch.allclose(reconstruct(training.averaged(), codec, waves), expected)


def test_folding_the_weight_norm_changes_no_sample() -> None:
    recipe = tiny_recipe("F05", averaging=0.0)
    network = build(recipe)
    training = CodecTraining(network, recipe, seed=3)
    training.initialise(crops(recipe, 0))
    take(training, range(3))
    waves = crops(recipe, 9)[:, None]
    with torch.no_grad():
        expected = network.decoder(network.encoder(waves))
        plain = training.averaged()
        torch.testing.assert_close(plain.decoder(plain.encoder(waves)), expected)


@pytest.mark.parametrize(
    ("codec", "changes", "stopped"),
    [
        ("F04", {"dropout": Dropout(0.5)}, 10),  # in the warm-up, with waves kept for the codebooks
        ("F04", {"dropout": Dropout(0.5)}, 25),
        ("F06", {}, 25),
        ("F07", {}, 25),
        ("F04", ADVERSARIAL | {"reconstruction_steps": 22, "discriminator_share": 0.5}, 26),
    ],
)
def test_a_resumed_training_goes_on_bit_for_bit(
    codec: str, changes: dict[str, Any], stopped: int, tmp_path
) -> None:
    recipe = tiny_recipe(codec, **changes)
    undisturbed = start(recipe)
    take(undisturbed, range(stopped))
    torch.save(undisturbed.state_dict(), tmp_path / "state.pt")
    expected = take(undisturbed, range(stopped, 30))
    torch.manual_seed(99)
    resumed = CodecTraining(find_codec(codec)().build(recipe.network), recipe, seed=3)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert told(take(resumed, range(stopped, 30))) == told(expected)
    wanted = undisturbed.averaged().state_dict()
    for name, tensor in resumed.averaged().state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


def test_the_seed_decides_the_course() -> None:
    recipe = tiny_recipe("F04", dropout=Dropout(1.0), warmup_steps=2)
    courses = [told(take(start(recipe, seed), range(6))) for seed in (1, 1, 2)]
    assert courses[0] == courses[1] != courses[2]


@pytest.mark.parametrize("bad", ["data", "rate"])
def test_a_loss_that_is_not_finite_stops_the_training_before_it_does_harm(bad: str) -> None:
    recipe = tiny_recipe("F04", warmup_steps=0)
    training = start(recipe)
    take(training, range(2))
    before = copy.deepcopy(training.state_dict()["network"])
    waves = crops(recipe, 2)
    waves[0, 7] = float("nan") if bad == "data" else float("inf")
    with pytest.raises(TrainingDivergedError, match=r"wave.* not finite at step 3"):
        training.step(waves)
    for name, tensor in training.state_dict()["network"].items():
        if not name.startswith("quantizer"):
            assert torch.equal(tensor, before[name]), name


def test_a_frozen_encoder_stays_and_the_decoder_goes_on() -> None:
    recipe = tiny_recipe("F04", warmup_steps=4, encoder_steps=8, averaging=0.0)
    training = start(recipe)
    take(training, range(8))
    before = training.averaged().state_dict()
    take(training, range(8, 12))
    changed = {
        name for name, t in training.averaged().state_dict().items() if not torch.equal(t, before[name])
    }
    assert changed and all(name.startswith("decoder.") for name in changed)


def test_bf16_runs_on_a_processor_and_stays_near_single_precision() -> None:
    recipe = tiny_recipe("F04")
    single = take(start(recipe), range(24))
    half = take(start(replace(recipe, precision="bf16")), range(24))
    assert told(half) != told(single)
    assert half[-1].losses["total"] == pytest.approx(single[-1].losses["total"], rel=0.3)


def test_the_rate_rises_and_falls_along_the_schedule() -> None:
    recipe = tiny_recipe("F01", warmup_steps=0, steps=100, learning_rate=1.0, final_rate=0.1)
    training = start(recipe)
    rates = {}
    for schedule in ("constant", "cosine", "exponential"):
        for step in (0, 50, 100):
            training.recipe = replace(recipe, schedule=schedule)
            training._step = step
            rates[schedule, step] = training._rate_factor()
    assert rates["constant", 0] == rates["exponential", 0] == pytest.approx(0.02)
    assert [rates["constant", step] for step in (50, 100)] == [1.0, 1.0]
    assert [rates["cosine", step] for step in (50, 100)] == pytest.approx([0.55, 0.1])
    assert [rates["exponential", step] for step in (50, 100)] == pytest.approx([0.1**0.5, 0.1])


def test_the_first_steps_have_losses_of_their_own() -> None:
    recipe = tiny_recipe("F04", opening_steps=3)
    reports = take(start(recipe), range(5))
    assert ["envelope" in report.losses for report in reports] == [False] * 3 + [True] * 2


# --- codebooks


def learner(codebooks: int = 3, dropout: Dropout | None = None) -> RunningMeanLearner:
    return RunningMeanLearner(ResidualVectorQuantizer(codebooks, 8, 4), 0.9, dropout or Dropout())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def test_the_learner_quantises_as_the_network_does_and_passes_gradients_through() -> None:
    taught = learner()
    assert not taught.is_initialised()
    taught.initialise(latents(500, 4), seeded())
    assert taught.is_initialised()
    given = latents(2, 4, 30, seed=1).requires_grad_()
    expected = taught._quantizer.decode(taught._quantizer.encode(given.detach()))
    found = taught(given, seeded(), learns=False)
    torch.testing.assert_close(found.latents, expected)
    found.latents.sum().backward()
    torch.testing.assert_close(given.grad, torch.ones_like(given))


def test_codebooks_follow_what_they_are_given_and_a_frozen_one_does_not() -> None:
    taught = learner()
    taught.initialise(latents(500, 4), seeded())
    before = taught._quantizer.codebooks.clone()
    moved = latents(2, 4, 200, seed=1) + 3
    taught(moved, seeded(), learns=False)
    assert torch.equal(taught._quantizer.codebooks, before)
    distances = []
    for _ in range(60):
        found = taught(moved, seeded())
        distances.append((found.latents - moved).square().mean().item())
    assert distances[-1] < 0.25 * distances[0]


def test_dead_codewords_restart_from_the_batch() -> None:
    taught = learner(codebooks=1)
    taught.initialise(latents(500, 4), seeded())
    taught._quantizer.codebooks[0, :3] = 1e3
    taught._sums[0, :3] = 1e3
    for step in range(80):
        taught(latents(2, 4, 200, seed=step), seeded(step))
    assert taught._quantizer.codebooks.abs().max() < 5
    assert taught._quantizer.encode(latents(2, 4, 200)).unique().numel() == 8


def test_quantiser_dropout_leaves_an_item_the_first_codebooks() -> None:
    taught = learner(dropout=Dropout(1.0, (1,)))
    taught.initialise(latents(500, 4), seeded())
    deeper = taught._quantizer.codebooks[1:].clone()
    given = latents(2, 4, 30, seed=1)
    expected = taught._quantizer.decode(taught._quantizer.encode(given, 1))
    torch.testing.assert_close(taught(given, seeded()).latents, expected)
    assert torch.equal(taught._quantizer.codebooks[1:], deeper)


def test_dropout_draws_every_number_of_codebooks_for_its_share_of_items() -> None:
    counts = Dropout(0.5).draw(4000, 4, seeded())
    shares = torch.bincount(counts, minlength=5) / 4000
    torch.testing.assert_close(shares, torch.tensor([0, 0.125, 0.125, 0.125, 0.625]), atol=0.03, rtol=0)
    assert set(Dropout(1.0, (2, 8)).draw(100, 4, seeded()).tolist()) == {2, 4}
    assert set(Dropout().draw(100, 4, seeded()).tolist()) == {4}


def test_the_gradient_codebooks_of_dac_learn() -> None:
    recipe = tiny_recipe(
        "F07",
        codebooks_learn_by="gradients",
        warmup_steps=0,
        encoder_steps=None,
        learning_rate=1e-3,
        dropout=Dropout(0.5),
        losses=LossWeights(wave=1.0, commitment=0.25, codebook=1.0),
    )
    training = start(recipe)
    before = training.averaged().state_dict()
    reports = take(training, range(36))
    assert reports[-1].losses["total"] < reports[0].losses["total"]
    after = training.averaged().state_dict()
    for name in ("codebook.weight", "in_proj.weight", "out_proj.weight"):
        name = f"quantizer.quantizers.1.{name}"
        assert not torch.equal(after[name], before[name]), name


# --- losses


def test_equal_waves_are_at_no_distance_and_nearer_ones_at_a_smaller() -> None:
    loss, weights = ReconstructionLoss(RATE), LossWeights()
    waves = crops(tiny_recipe("F04", batch_size=4), 0) + 0.01 * latents(4, 2560)
    for name, distance in loss(waves, waves, weights).items():
        assert distance.item() == pytest.approx(0, abs=1e-3), name
    near, far = (loss(waves + scale * latents(4, 2560, seed=1), waves, weights) for scale in (0.02, 0.2))
    assert set(near) == {"wave", "magnitude", "phase", "mel", "envelope"}
    for name in near:
        assert 0 < near[name] < far[name], name


def test_a_distance_without_weight_is_not_computed() -> None:
    waves = latents(1, 2560)
    weights = LossWeights(wave=0, magnitude=0, phase=0, mel=2, envelope=0)
    losses = ReconstructionLoss(RATE)(waves, 0.5 * waves, weights)
    assert set(losses) == {"mel"}
    assert weights.total(losses) == 2 * losses["mel"]


def test_the_gradient_of_the_spectrum_is_that_of_torch() -> None:
    waves = latents(2, 400).double().requires_grad_()
    window = torch.hann_window(100, dtype=torch.float64)
    weights = torch.randn(2, 13, 65, dtype=torch.complex128, generator=seeded())
    (ours,) = torch.autograd.grad((spectra_of(waves, window, 25, 128) * weights).abs().sum(), waves)
    frames = torch.fft.rfft(waves.unfold(-1, 100, 25) * window, 128)
    (expected,) = torch.autograd.grad((frames * weights).abs().sum(), waves)
    torch.testing.assert_close(ours, expected)


# --- discriminators


@pytest.mark.parametrize(("name", "members"), [*zip(FAMILIES, (5, 3, 5, 3), strict=True)])
def test_discriminators_judge_every_wave_of_a_batch_by_itself(name: str, members: int) -> None:
    torch.manual_seed(0)
    judges = build_discriminators([name], channels=4)
    waves = latents(3, 8000)
    judgements = judges(waves)
    assert len(judgements) == members
    for judgement, alone in zip(judgements, judges(waves[1:2]), strict=True):
        assert judgement.score.shape[:2] == (3, 1)
        assert len(judgement.features) >= 5
        torch.testing.assert_close(judgement.score[1:2], alone.score, atol=1e-4, rtol=1e-3)


def test_full_width_discriminators_have_the_sizes_of_the_papers() -> None:
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in build_discriminators([name]).parameters()) for name in FAMILIES}
    assert sizes["multi-period"] / 1e6 == pytest.approx(
        41.1, abs=0.1
    )  # HiFi-GAN, biases and weight norm included
    assert sizes["multi-scale wave"] / 1e6 == pytest.approx(29.6, abs=0.1)


@pytest.mark.parametrize("kind", ["hinge", "least squares"])
def test_adversarial_losses_reward_what_they_should(kind: str) -> None:
    def judgement(score: float) -> list[SimpleNamespace]:
        return [SimpleNamespace(score=torch.full((2, 1, 5), score))]

    assert discriminator_loss(judgement(1), judgement(-1 if kind == "hinge" else 0), kind) == 0
    assert discriminator_loss(judgement(0), judgement(1), kind) > 1
    assert adversarial_loss(judgement(1), kind) == 0
    assert adversarial_loss(judgement(-1), kind) > adversarial_loss(judgement(0.5), kind) > 0


def test_relative_feature_distances_ignore_the_scale_of_features() -> None:
    wanted, found = latents(2, 4, 9), latents(2, 4, 9, seed=1)

    def distance(scale: float, *, relative: bool) -> float:
        return feature_distance(
            [SimpleNamespace(features=[scale * wanted])],
            [SimpleNamespace(features=[scale * found])],
            relative=relative,
        ).item()

    assert distance(5.0, relative=True) == pytest.approx(distance(1.0, relative=True))
    assert distance(5.0, relative=False) == pytest.approx(5 * distance(1.0, relative=False))


def test_adversarial_training_runs_and_the_discriminators_learn_to_tell() -> None:
    recipe = tiny_recipe("F04", warmup_steps=2, reconstruction_steps=4, learning_rate=1e-3, **ADVERSARIAL)
    reports = take(start(recipe), range(16))
    assert ["adversarial" in report.losses for report in reports] == [False] * 4 + [True] * 12
    assert all("feature_matching" in report.losses for report in reports[4:])
    discriminator = [report.losses["discriminator"] for report in reports[4:]]
    assert discriminator[-1] < discriminator[0]


# --- recipes


@pytest.mark.parametrize("kind", ["paper", "mini"])
@pytest.mark.parametrize("codec", NETWORKS)
def test_a_recipe_fits_its_codec(codec: str, kind: str) -> None:
    card = find_codec(codec).card
    recipe = recipe_for(codec, kind)
    assert (recipe.sample_rate, recipe.hop_length) == (card.sample_rate, card.hop_length)
    assert recipe.crop_samples % card.hop_length == 0
    assert recipe.crop_samples >= max(recipe.fft_sizes)
    with torch.device("meta"):
        network = find_codec(codec)().build(recipe.network)
    numbers = sum(tensor.numel() for tensor in network.state_dict().values())
    if kind == "paper":
        assert dict(recipe.network) == dict(card.network)
        assert recipe.discriminators
        assert recipe.losses.adversarial and recipe.losses.feature_matching
    else:
        assert 2 * numbers < 2.95e6  # and the names: less than 3 MB
        assert not recipe.discriminators
        sizes = recipe.network
        codebooks = sizes.get("codebooks") or sizes.get("n_codebooks") or sizes["groups"] * sizes["layers"]
        assert codebooks == card.codebooks


def test_codecs_of_one_network_share_their_recipe_and_others_are_refused() -> None:
    assert (
        recipe_for("C4-2", "paper")
        == recipe_for("encodec-24khz-6kbps", "paper")
        == recipe_for("F04", "paper")
    )
    with pytest.raises(CodecError, match=r"no recipe to train D1 .*F01, F02"):
        recipe_for("D1", "mini")


def test_a_way_of_learning_that_is_none_for_the_quantiser_is_refused() -> None:
    recipe = tiny_recipe("F04", codebooks_learn_by="gradients")
    with pytest.raises(CodecError, match="ResidualVectorQuantizer do not learn by gradients"):
        CodecTraining(build(recipe), recipe, seed=0)


# --- several processes


def test_two_processes_train_one_network(tmp_path) -> None:
    multiprocessing.spawn(_train_in_process, args=(2, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def _train_in_process(rank: int, processes: int, folder) -> None:
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), processes)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    recipe = tiny_recipe(
        "F04", warmup_steps=2, dropout=Dropout(0.5), reconstruction_steps=3, averaging=0.5, **ADVERSARIAL
    )
    torch.manual_seed(rank)  # other weights in every process, until the first one's are shared
    network = find_codec(recipe.codec)().build(recipe.network)
    fabric = SimpleNamespace(global_rank=rank, device=torch.device("cpu"))
    training = CodecTraining(network, recipe, fabric=fabric, seed=3)
    training.initialise(crops(recipe, 1000 + rank))
    for step in range(6):
        training.step(crops(recipe, 2 * step + rank))
    torch.save(training.averaged().state_dict(), folder / f"{rank}.pt")
    distributed.destroy_process_group()
