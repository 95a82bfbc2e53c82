"""What a training is asked for, and what of it decides the result."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from codecfake.codec_adapters.training.recipes import Recipe
    from codecfake.pipeline.codec_training.speech_files import SpeechFiles


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What to train, on what, and for how long."""

    codec: str
    """Id of the codec."""
    data: str
    """As ``find_speech`` takes it."""
    out: Path
    """Folder for ``<id>.safetensors`` and ``<id>.json``; the checkpoints lie in ``<id>-training`` below it."""
    recipe: Literal["paper", "mini"] = "mini"
    subsets: tuple[str, ...] = ()
    """Of LibriTTS."""
    validate: tuple[Path, ...] = ()
    """Folders of clips to validate with, besides files held out of the data."""
    steps: int | None = None
    """In place of the recipe's; its other counts of steps shrink or grow with it."""
    minutes: float | None = None
    """Wall-clock limit of one call; the next one goes on."""
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: Literal["fp32", "bf16"] | None = None
    """In place of the recipe's."""
    checkpoint_minutes: float = 10.0

    @property
    def folder(self) -> Path:
        """Where a stopped training goes on from."""
        return self.out / f"{self.codec}-training"


def training_recipe(settings: TrainingSettings) -> "Recipe":
    """The recipe that is asked for, with what the settings put in its place."""
    from codecfake.codec_adapters.training.recipes import recipe_for

    recipe = recipe_for(settings.codec, settings.recipe)
    changes: dict[str, Any] = {}
    if settings.steps is not None:
        ratio = settings.steps / recipe.steps
        counts = {
            item.name: getattr(recipe, item.name) for item in fields(recipe) if item.name.endswith("_steps")
        }
        changes = {name: round(count * ratio) for name, count in counts.items() if count}
        changes["steps"] = settings.steps
    if settings.precision is not None:
        changes["precision"] = settings.precision
    return replace(recipe, **changes)


def identity(settings: TrainingSettings, recipe: "Recipe", speech: "SpeechFiles") -> dict[str, Any]:
    """All that decides what a training ends with: one that differs in it cannot be gone on with."""
    return {
        "codec": settings.codec,
        "seed": settings.seed,
        "devices": settings.devices,
        "data": speech.source,
        "data files": len(speech.files),
        "data sha256": speech.digest,
        **_flat("recipe", asdict(recipe)),
    }


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Name every setting within settings by the way to it."""
    if not isinstance(value, Mapping):
        return {name: value}
    return {path: leaf for key, part in value.items() for path, leaf in _flat(f"{name} {key}", part).items()}
