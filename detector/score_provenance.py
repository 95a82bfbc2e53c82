"""What scores were made with: beside the scores, so that those of two models or data sets never mix."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codecfake.detector.score_files import score_path
from codecfake.detector.trials import SplitTrials, TrialList
from codecfake.manifests.atomic import publish_json
from codecfake.manifests.differences import side_by_side
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import read_json

PROVENANCE_FILE = "scores.json"


def start_scores(
    scores_dir: Path, description: Mapping[str, Any], trials: SplitTrials, parts: Sequence[TrialList]
) -> None:
    """Make a scores folder ready, or refuse one that holds scores of something else.

    Args:
        scores_dir: The folder, created when absent.
        description: Content of the detector's ``model.json``.
        trials: The data.
        parts: The lists that will be scored.

    Raises:
        CodecfakeError: If the folder holds scores of another model, of other lists, or of unknown origin.
            Nothing is removed.
    """
    path = scores_dir / PROVENANCE_FILE
    now = {
        "score": description["score"],
        "model": description.get("model", description["network"]["name"]),
        "weights_sha256": description["weights_sha256"],
        "front_end": description["front_end"],
        **({"warning": description["warning"]} if "warning" in description else {}),
        "data": {"name": trials.name, "digest": trials.digest},
        "parts": {part.name: {"trials": len(part), "digest": part.digest()} for part in parts},
    }
    if path.is_file():
        before = read_json(
            path, {"parts": dict, "front_end": dict, "data": dict}, next_step=f"remove {scores_dir}"
        )
        _refuse_others(scores_dir, before, now)
        now["parts"] = before["parts"] | now["parts"]
    else:
        _refuse_unknown(scores_dir, parts)
    scores_dir.mkdir(parents=True, exist_ok=True)
    publish_json(path, now)


def _refuse_others(scores_dir: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Compare what decides about scores; lists that are new may be added."""

    def decisive(content: dict[str, Any]) -> dict[str, str]:
        shared = before["parts"].keys() & now["parts"].keys()
        front_end = json.dumps(content["front_end"], sort_keys=True)
        head = {"weights_sha256": content["weights_sha256"], "front_end": front_end}
        head["data.name"] = content["data"]["name"]
        return head | {f"parts.{name}.digest": content["parts"][name]["digest"] for name in sorted(shared)}

    if table := side_by_side(decisive(before), decisive(now), "scored before"):
        raise CodecfakeError(
            f"{scores_dir} holds scores of something else:\n{table}",
            next_step="name another folder with --out, or remove this one",
        )


def _refuse_unknown(scores_dir: Path, parts: Sequence[TrialList]) -> None:
    for part in parts:
        if score_path(scores_dir, part.name).exists():
            raise CodecfakeError(
                f"{scores_dir} holds {part.name}.tsv, and no {PROVENANCE_FILE} that tells how it was made",
                next_step="name another folder with --out, or remove the file",
            )
