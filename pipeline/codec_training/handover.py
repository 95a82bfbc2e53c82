"""The end of a training: the network at the right level, stored, validated as it is stored, and described."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.pipeline.codec_training.export import (
    SMALL_BYTES,
    choose_storage,
    codec_of,
    codec_with,
    publish,
    restore_level,
)
from codecfake.pipeline.codec_training.settings import TrainingSettings
from codecfake.pipeline.codec_training.validation import Clip, ClipScores, mean_scores, validate
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.provenance import describe_environment

if TYPE_CHECKING:
    from torch import nn

    from codecfake.codec_adapters.training.recipes import Recipe
    from codecfake.pipeline.codec_training.speech_files import SpeechFiles

Metrics = dict[str, dict[str, float | int | None]]
"""Set of clips to the number of clips and the mean of every measure."""

PURPOSES = {
    "mini": "demonstration and tests, never research",
    "paper": "the published network, trained anew; its metrics tell how far that went",
}
LEVEL_CLIPS = 16
CONDITIONS = ("working_level", "delay_samples")
"""What an adapter has to know of a network besides its sizes."""


def hand_over(
    settings: TrainingSettings,
    recipe: "Recipe",
    network: "nn.Module",
    clip_sets: Mapping[str, Sequence[Clip]],
    speech: "SpeechFiles",
    step: int,
    seconds: float,
    monitor: Monitor,
) -> tuple[Path, Metrics]:
    """Publish a trained network with its description; the metrics are those of the file that is published.

    Args:
        settings: What was asked for.
        recipe: How it was trained.
        network: As it was trained; its last layer is changed.
        clip_sets: To validate with; the first set, which is of the training's own kind, decides level and storage.
        speech: What it was trained on.
        step: Steps taken.
        seconds: Of training.
        monitor: Told how far it is.

    Returns:
        The path of the weights, and the metrics.
    """
    codec = codec_with(settings.codec, network, recipe)
    alike = next(iter(clip_sets.values()), [])[:LEVEL_CLIPS]
    decibels = restore_level(codec, alike)
    stored = choose_storage(codec, alike, SMALL_BYTES if settings.recipe == "mini" else None)
    final = codec_of(codec, stored, recipe.network)
    monitor.begin("Validating", sum(map(len, clip_sets.values())), "clips")
    metrics: Metrics = {}
    for name, clips in clip_sets.items():
        results: list[ClipScores] = []
        for clip in clips:
            monitor.raise_if_stopped()
            results += validate(final, [clip])
            monitor.advance(1)
        means = asdict(mean_scores(results))
        metrics[name] = {"clips": len(clips)} | {
            measure: value and round(value, 4) for measure, value in means.items()
        }
    monitor.end()
    conditions = {name: getattr(recipe, name) for name in CONDITIONS if getattr(recipe, name)}
    description = {
        "purpose": PURPOSES[settings.recipe],
        "config": dict(recipe.network) | conditions,
        "recipe": {"name": settings.recipe}
        | {name: value for name, value in asdict(recipe).items() if name not in ("codec", "network")},
        "seed": settings.seed,
        "steps": step,
        "minutes": round(seconds / 60, 1),
        "data": {
            "what": speech.source,
            "files": len(speech.files),
            "hours": round(speech.seconds / 3600, 3),
            "sha256 of names and lengths": speech.digest,
        },
        "metrics": metrics,
        "single precision": [part.rstrip(".") for part in stored.full_parts],
        "codes changed by half precision": round(stored.codes_changed, 5),
        "level restored by dB": round(decibels, 2),
        "environment": describe_environment(),
    }
    return publish(settings.out, settings.codec, stored, description), metrics
