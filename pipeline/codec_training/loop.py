"""Training a codec from the first step to its checkpoint, or on from where it was stopped."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.codec_adapters import find_codec
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.codec_training.board import Board
from codecfake.pipeline.codec_training.export import codec_with
from codecfake.pipeline.codec_training.folder import TrainingFolder
from codecfake.pipeline.codec_training.handover import Metrics, hand_over
from codecfake.pipeline.codec_training.processes import Processes, is_first_process
from codecfake.pipeline.codec_training.progress import TrainingProgress
from codecfake.pipeline.codec_training.settings import TrainingSettings, identity, training_recipe
from codecfake.pipeline.codec_training.speech import TrainingSpeech
from codecfake.pipeline.codec_training.speech_files import (
    SpeechFiles,
    audio_below,
    find_speech,
    hold_out,
    tell_unreadable,
)
from codecfake.pipeline.codec_training.validation import Clip, read_clips, spread, validate
from codecfake.pipeline.devices import cpu_count, find_device, single_threaded_networks
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.run_lock import run_lock

if TYPE_CHECKING:
    from torch import nn

    from codecfake.codec_adapters.training.recipes import Recipe

INTERIM_CLIPS, FINAL_CLIPS = 6, 64
"""Clips of each set that a validation takes, at a checkpoint and at the end."""
READER_THREADS = 8
"""That prepare batches for a GPU; beside training on a CPU they would only take its time."""


@dataclass(frozen=True)
class TrainingResult:
    """What a call of ``train`` ended with."""

    step: int
    steps: int
    weights: Path | None
    """The published network; ``None`` as long as it has no codebooks, and in all processes but the first."""
    metrics: Metrics


def train(settings: TrainingSettings, monitor: Monitor) -> TrainingResult:
    """Train a codec, or go on with a training that was stopped; then publish what it has learnt.

    On a CPU the result depends on the settings, the data and the version of torch alone, whether or not the training
    was stopped between.

    Args:
        settings: What to train, and how.
        monitor: Told about the progress; its stop signal ends the training after the current step.

    Raises:
        CodecfakeError: If the data, the settings or the folder cannot be used, or the loss is not finite.
        Stopped: If the monitor said so; a checkpoint of the last step is published then.
    """
    is_first = is_first_process()
    if not is_first:
        monitor = _Muted(monitor)
    with run_lock(settings.folder, monitor.stop.set) if is_first else nullcontext():
        recipe = training_recipe(settings)
        spoken = settings.out / "speech"
        speech = find_speech(
            settings.data, subsets=settings.subsets, seed=settings.seed, spoken=spoken, monitor=monitor
        )
        folder = TrainingFolder(settings.folder, identity(settings, recipe, speech))
        speech, held_out = hold_out(speech)
        clip_sets = _read_clip_sets(speech, held_out, settings.validate) if is_first else {}
        device = find_device(settings.device).name
        # Up to here every process does the same: the first one before it starts the others.
        processes = Processes(device, settings.devices)
        with single_threaded_networks() if device == "cpu" else nullcontext():
            run = _Run(settings, recipe, speech, folder, clip_sets, processes, device, monitor)
            try:
                run.take_steps()
            finally:
                run.close()
            if not processes.is_first or not run.has_codebooks:
                monitor.say(
                    f"No weights yet: codebooks come after step {recipe.warmup_steps}. Repeat the command."
                )
                return TrainingResult(run.step, recipe.steps, None, {})
            weights, metrics = hand_over(
                settings, recipe, run.network(), clip_sets, speech, run.step, run.seconds, monitor
            )
    return TrainingResult(run.step, recipe.steps, weights, metrics)


class _Run:
    """One call of ``train`` in one process, once everything is prepared."""

    def __init__(
        self,
        settings: TrainingSettings,
        recipe: "Recipe",
        speech: SpeechFiles,
        folder: TrainingFolder,
        clip_sets: Mapping[str, Sequence[Clip]],
        processes: Processes,
        device: str,
        monitor: Monitor,
    ) -> None:
        from codecfake.codec_adapters.training.session import CodecTraining

        self._settings, self._recipe, self._folder = settings, recipe, folder
        self._clip_sets, self._processes, self._monitor = clip_sets, processes, monitor
        self._reader_threads = 0 if device == "cpu" else min(READER_THREADS, cpu_count())
        self._crops = _crops(speech, recipe, settings.seed, processes.rank)
        network = _new_network(settings, recipe).to(device)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        self._training = CodecTraining(network, recipe, fabric=processes.fabric, seed=settings.seed)
        state = folder.load() or {}
        self.step: int = state.get("step", 0)
        if state:
            self._training.load_state_dict(state["training"])
        else:
            # The same batch in every process, so that they begin with the same weights.
            self._training.initialise(_tensor(_crops(speech, recipe, settings.seed, rank=0).batch(0)))
        self._board = Board(folder.path / "tensorboard" if processes.is_first else None, self.step)
        audio_seconds = recipe.batch_size * recipe.crop_samples / recipe.sample_rate * processes.count
        self._progress = TrainingProgress(
            monitor, self._board, recipe.steps, audio_seconds, state.get("progress")
        )
        monitor.say(
            f"{find_codec(settings.codec).card.title}, {settings.recipe} recipe: {parameters / 1e6:.2f} M parameters, "
            f"{speech.seconds / 3600:.2f} h of speech ({speech.source}), on {device}"
            + (f"; going on after step {self.step} of {recipe.steps}" if state else "")
        )

    @property
    def has_codebooks(self) -> bool:
        """Whether the network can code yet: its first steps are taken without the quantiser."""
        return self.step > self._recipe.warmup_steps

    @property
    def seconds(self) -> float:
        """Of training, over all calls."""
        return self._progress.seconds

    def network(self) -> "nn.Module":
        """The network as it would be used now."""
        return self._training.averaged()

    def take_steps(self) -> None:
        """Take the steps that are left, or those that the time and the user leave; the last one is saved.

        Raises:
            Stopped: If the user wishes to stop.
        """
        began = lap = saved = time.monotonic()
        minutes = self._settings.minutes
        limit = float("inf") if minutes is None else 60 * minutes
        for batch in self._crops.batches(self.step, self._recipe.steps, self._reader_threads):
            report = self._take_step(batch)
            self.step = report.step
            now = time.monotonic()
            self._progress.count(report, now - lap)
            is_stopped = self._processes.any(self._monitor.stop.is_set())
            is_last = self._processes.any(now - began > limit) or self.step == self._recipe.steps
            if is_stopped or is_last or now - saved > self._settings.checkpoint_minutes * 60:
                if not is_stopped and not is_last:
                    self._validate()
                self._save()
                saved = time.monotonic()
            if is_stopped and self._processes.is_first:  # the others just end, so that it is said once
                raise Stopped
            if is_stopped or is_last:
                break
            lap = time.monotonic()

    def close(self) -> None:
        """Tell of files that turned out broken, and end the curves."""
        if self._crops.unreadable:
            self._monitor.say(tell_unreadable(self._crops.unreadable, self._crops.files))
        self._board.close()

    def _take_step(self, batch: Any) -> Any:
        from codecfake.codec_adapters.training.session import TrainingDivergedError

        try:
            return self._training.step(_tensor(batch))
        except TrainingDivergedError as error:
            raise CodecfakeError(
                f"{self._settings.folder}: {error}",
                cause="the training has diverged",
                next_step="another --seed, or --precision fp32, with another --out; the checkpoints before stay",
            ) from error

    def _validate(self) -> None:
        if self._processes.is_first and self.has_codebooks:
            codec = codec_with(self._settings.codec, self.network(), self._recipe)
            sets = self._clip_sets.items()
            results = {name: validate(codec, spread(clips, INTERIM_CLIPS)) for name, clips in sets}
            self._progress.validated(self.step, results)

    def _save(self) -> None:
        if not self._processes.is_first:
            return
        state = {"training": self._training.state_dict(), "progress": self._progress.state_dict()}
        self._folder.save(self.step, {"step": self.step, **state})
        for name, rows in self._progress.tables.items():
            self._folder.publish_table(name, rows)


class _Muted(Monitor):
    """Of the processes that are not the first: they stop with it, and say nothing."""

    def __init__(self, heard: Monitor) -> None:
        super().__init__()
        self.stop = heard.stop


def _read_clip_sets(
    speech: SpeechFiles, held_out: SpeechFiles, folders: Sequence[Path]
) -> dict[str, list[Clip]]:
    """What to validate with: clips by the name of their set, the training's own kind of speech first."""
    kind, files = ("held out", held_out.files) if held_out.files else ("trained on", speech.files)
    sets = {kind: [file.path for file in files]}
    for folder in folders:
        sets[str(folder) if folder.name in sets else folder.name] = audio_below(folder)
    clips = {name: read_clips(paths, FINAL_CLIPS) for name, paths in sets.items()}
    return {name: found for name, found in clips.items() if found}


def _crops(speech: SpeechFiles, recipe: "Recipe", seed: int, rank: int) -> TrainingSpeech:
    return TrainingSpeech(
        speech,
        sample_rate=recipe.sample_rate,
        crop_samples=recipe.crop_samples,
        batch_size=recipe.batch_size,
        seed=seed,
        rank=rank,
    )


def _new_network(settings: TrainingSettings, recipe: "Recipe") -> "nn.Module":
    """A network with random weights that the seed decides; the caller's random state is left alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return find_codec(settings.codec)().build(recipe.network)


def _tensor(batch: Any) -> Any:
    import torch

    return torch.from_numpy(batch)
