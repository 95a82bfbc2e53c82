"""The description of a run: checked, saved into the run folder, and read back from it."""

import difflib
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from codecfake.codec_adapters.errors import CodecError
from codecfake.codec_adapters.presets import PRESETS, preset_codecs
from codecfake.codec_adapters.registry import find_codec
from codecfake.manifests.atomic import publish_text
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.plain_files import read_plain
from codecfake.manifests.showing import without_passwords
from codecfake.pipeline.imports.record import refuse_import
from codecfake.pipeline.object_store import Location, expanded, is_url, located

SAVED_AS = "run.yaml"
MAXIMUM_BYTES = 1 << 16
"""Of a file of settings; one that names every codec with its peak has some 2,000."""
DEEPEST = 8
MOST_DOTS = 100
"""In a line of TOML, which takes minutes over a key of 30,000 parts."""
SHOWN_PROBLEMS = 10
NO_FOLDERS = ("official", "mini")
"""What weights are called that are no folder of the user's."""
_OF_OTHERS = "codecs of other packages"
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class RunConfig(BaseModel):
    """Everything that decides what a run folder will hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: Path
    """The run folder."""
    store: str | None = None
    """URL of an object store that the run is shared in, such as s3://bucket/run."""
    vctk: Location | None = None
    """Root of VCTK 0.92 or 0.80: a folder, or the URL of one in an object store."""
    aishell3: Location | None = None
    """Root of AISHELL-3, likewise."""
    microphone: Literal["mic1", "mic2"] = "mic1"
    """Which recording of VCTK 0.92; Codecfake's file names point to mic1."""
    codecs: tuple[str, ...] = PRESETS["codecfake"]
    """Codec ids, in the order they are worked through; ``preset`` among the settings stands for its codecs."""
    backend: Literal["codecfake", "upstream"] = "codecfake"
    """Whose code runs the networks: ours, or the package that the codec's authors published."""
    input_peak: dict[str, float] = Field(default_factory=dict)
    """Codec id to the peak that its input is brought to; elsewhere the level stays."""
    sample_rate: Literal["native"] | int = 16_000
    """Rate of all audio written, in Hz; "native" keeps each codec's own, as the published dataset has it."""
    weights: str = "official"
    """"official", "mini" (the demonstration networks that ship), or a folder of checkpoints."""
    device: str = "auto"
    """"auto", "cpu", "cuda" for all GPUs that there are, or one of them, such as "cuda:1"."""
    precision: Literal["float32", "tf32"] = "float32"
    """"tf32" lets convolutions on a GPU round to it, for those codecs that keep their codes then."""
    limit: int | None = Field(default=None, ge=1)
    """Take only so many utterances, spread evenly over the corpora."""
    seed: int = 0
    """Seed of the split that a build ends with."""

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, settings: Any) -> Any:
        if not isinstance(settings, dict) or settings.get("preset") is None:
            return settings
        settings = dict(settings)
        try:
            codecs = preset_codecs(str(settings.pop("preset")))
        except CodecError as error:
            raise ValueError(str(error)) from error
        return settings | {"codecs": [*codecs, *_names(settings.get("codecs") or [])]}

    @field_validator("vctk", "aishell3", "out")
    @classmethod
    def _located(cls, folder: Location | None) -> Location | None:
        return folder and located(folder)

    @field_validator("weights")
    @classmethod
    def _absolute(cls, weights: str) -> str:
        return weights if weights in NO_FOLDERS else str(located(weights))

    @field_validator("vctk", "aishell3", "store")
    @classmethod
    def _without_password(cls, folder: Location | None) -> Location | None:
        if isinstance(folder, str) and without_passwords(folder) != folder:
            raise ValueError(
                "holds a password, which would be saved into run.yaml; give it in the environment or the "
                "configuration of the store's package, as fsspec describes it"
            )
        return folder

    @field_validator("store")
    @classmethod
    def _url(cls, store: str | None) -> str | None:
        if store and not is_url(located(store)):
            raise ValueError("must be a URL, such as s3://bucket/run")
        return store and store.rstrip("/")

    @field_validator("codecs", mode="before")
    @classmethod
    def _known_codecs(cls, names: Any, info: ValidationInfo) -> Any:
        names = _names(names)
        if not isinstance(names, list | tuple):
            raise ValueError("expected names of codecs, as in F04,F07")
        return tuple(dict.fromkeys(_codec_id(name, info) for name in names))

    @field_validator("input_peak", mode="before")
    @classmethod
    def _known_peaks(cls, peaks: Any, info: ValidationInfo) -> Any:
        if isinstance(peaks, str):
            pairs = [pair.partition("=") for pair in _names(peaks)]
            peaks = {name: peak for name, _, peak in pairs}
        if not isinstance(peaks, dict):
            raise ValueError("expected peaks by codec, as in B1=0.95")
        return {_codec_id(name, info): peak for name, peak in peaks.items()}

    @field_validator("input_peak")
    @classmethod
    def _sensible_peaks(cls, peaks: dict[str, float]) -> dict[str, float]:
        if not all(0 < peak <= 1 for peak in peaks.values()):
            raise ValueError("a peak lies above 0 and is at most 1, as in B1=0.95")
        return peaks

    @field_validator("sample_rate")
    @classmethod
    def _sensible_rate(cls, rate: Literal["native"] | int) -> Literal["native"] | int:
        if rate != "native" and not 8_000 <= rate <= 192_000:
            raise ValueError('must be "native" or between 8000 and 192000 Hz')
        return rate

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError("must be auto, cpu, cuda, or one GPU such as cuda:1")
        return device

    @model_validator(mode="after")
    def _one_corpus(self) -> Self:
        if self.vctk is None and self.aishell3 is None:
            raise ValueError("no corpus given: name --vctk, --aishell3 or both")
        return self


def _names(value: Any) -> Any:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _codec_id(name: Any, info: ValidationInfo) -> str:
    if not isinstance(name, str):
        raise ValueError(f"a codec's name is text, not {type(name).__name__}")
    try:
        return find_codec(name).card.id
    except CodecError as error:
        if info.context == _OF_OTHERS and _PLAIN_ID.fullmatch(name):
            return name
        raise ValueError(str(error)) from error


def make_config(
    settings: dict[str, Any], where: str = "the command line", *, codecs_of_others: bool = False
) -> RunConfig:
    """Check settings and fill in the defaults.

    Args:
        settings: By name, as in `RunConfig`.
        where: They come from, for errors.
        codecs_of_others: Whether ids of codecs are taken that no installed package has.

    Raises:
        CodecfakeError: Naming every wrong setting; an unknown one comes with the closest known names.
    """
    try:
        return RunConfig.model_validate(settings, context=_OF_OTHERS if codecs_of_others else None)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()[:SHOWN_PROBLEMS]]
        raise CodecfakeError(
            f"{where}: " + "; ".join(problems), next_step="codecfake build --help lists every setting"
        ) from error


def _describe(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])[:80]
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(name, [*RunConfig.model_fields, "preset"], n=1)
        return f"unknown setting {name!r}" + (f", did you mean {close[0]!r}?" if close else "")
    if problem["type"] == "missing":
        return f"{name} is missing: give --{name}, or {name} in the configuration file"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def read_settings(path: Path) -> dict[str, Any]:
    """Read a YAML or TOML file of settings; relative paths in it are relative to the file.

    Raises:
        CodecfakeError: If it cannot be read or holds no table of settings.
    """
    import tomllib

    import yaml

    try:
        text = read_plain(path, MAXIMUM_BYTES).decode()
        if path.suffix == ".toml":
            if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
                raise ValueError(f"a line has more than {MOST_DOTS} dots")
            settings = tomllib.loads(text)
        else:
            _refuse_bombs(text)
            settings = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CodecfakeError(f"cannot read the configuration {path}: {error}") from error
    if not isinstance(settings, dict):
        raise CodecfakeError(
            f"{path} holds no settings; expected lines such as 'vctk: /data/VCTK-Corpus-0.92'"
        )
    for key in ("out", "vctk", "aishell3"):
        if isinstance(settings.get(key), str) and "://" not in settings[key]:
            settings[key] = path.parent / expanded(settings[key])
    weights = settings.get("weights")
    if isinstance(weights, str) and weights not in NO_FOLDERS:
        settings["weights"] = str(path.parent / expanded(weights))
    return {str(name): value for name, value in settings.items()}


def _refuse_bombs(text: str) -> None:
    """Refuse YAML whose size tells nothing: ten lines of aliases are a billion values, deep nesting takes minutes."""
    import yaml

    depth = 0
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken):
            raise ValueError("it uses aliases (*name); write the values out")
        depth += type(token).__name__.endswith("StartToken") - type(token).__name__.endswith("EndToken")
        if depth > DEEPEST + 1:  # the stream is one
            raise ValueError(f"it is nested more than {DEEPEST} deep")


def save_config(config: RunConfig) -> None:
    """Save the configuration into its run folder, without the folder's own name so that it may be moved."""
    import yaml

    settings = config.model_dump(mode="json", exclude={"out"}, exclude_none=True)
    publish_text(config.out / SAVED_AS, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))


def saved_config(run_dir: Path, *, needs_codecs: bool = False) -> RunConfig:
    """Read the configuration that a run folder was built with.

    Args:
        run_dir: The run folder.
        needs_codecs: Whether its codecs are to be run or described; else some of them may be installed elsewhere only.

    Raises:
        CodecfakeError: If the folder is no run folder, or was imported, or a codec is needed that is not installed.
    """
    refuse_import(run_dir)
    path = run_dir / SAVED_AS
    if not path.is_file():
        raise CodecfakeError(
            f"{run_dir} is no run folder: it holds no {SAVED_AS}",
            cause="the path is mistyped, or the build has not started",
            next_step=f"codecfake build --vctk DIR --aishell3 DIR --out {run_dir}",
        )
    config = make_config(read_settings(path) | {"out": run_dir}, str(path), codecs_of_others=True)
    for codec in config.codecs if needs_codecs else ():
        try:
            find_codec(codec)
        except CodecError as error:
            raise CodecfakeError(
                f"{run_dir} was built with the codec {codec} of another package: {error}",
                cause="that package is not installed here, or is broken",
                next_step="install it; codecfake status, verify, export and report do without",
            ) from error
    return config
