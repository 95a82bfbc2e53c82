"""Where the robustness conditions of a split are: its evaluation files once more, through a channel or with noise.

A split's folder holds ``conditions/SETTING/manifest.parquet`` for each of them, in the dataset schema. They lie
inside it so that a split that is made anew, of other files, leaves them behind.
"""

from pathlib import Path

from codecfake.manifests.splits import condition_order

DERIVED_FOLDER = "conditions"
MANIFEST = "manifest.parquet"
PROCESSING = "processing"
"""Column of trials and exports with the name of the setting; empty for audio as it was built."""


def derived_folder(split: Path, setting: str) -> Path:
    """Where a robustness condition of a split is kept.

    Args:
        split: Folder of the split.
        setting: Its name, such as ``opus16``.
    """
    return split / DERIVED_FOLDER / setting


def derived_manifests(split: Path) -> dict[str, Path]:
    """The manifests of the robustness conditions of a split, by the name of their setting."""
    found = (split / DERIVED_FOLDER).glob(f"[!.]*/{MANIFEST}")
    return {path.parent.name: path for path in sorted(found)}


def derived_name(condition: str, setting: str) -> str:
    """Name of a condition under a setting: ``C1-opus16``."""
    return f"{condition}-{setting}"


def derived_file(file: str, setting: str) -> str:
    """File name under a setting: ``F01_p225_001-opus16.wav``; without further dots, which would look like endings."""
    return f"{Path(file).stem}{derived_suffix(setting)}.wav"


def derived_suffix(setting: str) -> str:
    """How file names under a setting end, before the dot."""
    return f"-{setting.replace('.', 'p')}"


def derived_order(condition: str, setting: str) -> tuple[int, int, str]:
    """Sort key of the conditions of one setting: that of the conditions they come from."""
    return condition_order(condition.removesuffix(f"-{setting}"))
