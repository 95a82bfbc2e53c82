"""Splitting a run folder: what the splitting step needs, read from the run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codecfake.codec_adapters import find_codec
from codecfake.manifests.dataset import CodecRecord
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.schema import REAL
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.fingerprint import read_weights_digests
from codecfake.pipeline.imports.record import read_import
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.shard_store import read_items
from codecfake.pipeline.source import current_source
from codecfake.pipeline.splitting import Policy, SplitReport, make_split

if TYPE_CHECKING:
    import pyarrow as pa


def split_run(
    run_dir: Path,
    *,
    policy: Policy = "published",
    labels: Path | None = None,
    seed: int | None = None,
    monitor: Monitor,
    mend: bool = False,
) -> SplitReport:
    """Split everything that a run has published, and make its Codecfake tree.

    Args:
        run_dir: The run folder.
        policy: How utterances are assigned.
        labels: Folder with the authors' own label files, instead of a policy.
        seed: Seed of the assignment; when absent that of the run, 0 for an imported one.
        monitor: Told about the progress.
        mend: Whether files of the split that is there are damaged.

    Raises:
        CodecfakeError: If it has no audio to split, or the policy needs speakers and none is known.
    """
    if imported := read_import(run_dir):
        records = {name: CodecRecord("", "") for name in imported.codecs if name != REAL}
        run_seed = 0
        if policy == "speaker-disjoint" and labels is None:
            _require_speakers(current_source(run_dir), imported.dataset)
    else:
        config = saved_config(run_dir, needs_codecs=True)  # what a split says of them is part of it
        digests = read_weights_digests(run_dir)
        records = {name: CodecRecord(_describe(name), digests[name]) for name in config.codecs}
        run_seed = config.seed
    return make_split(
        run_dir,
        current_source(run_dir),
        read_items(run_dir),
        records,
        policy=policy,
        labels=labels,
        seed=run_seed if seed is None else seed,
        report=monitor.say,
        mend=mend,
    )


def _require_speakers(source: "pa.Table", dataset: str) -> None:
    import pyarrow.compute as pc

    if not pc.any(pc.not_equal(source["speaker"], "")).as_py():
        raise CodecfakeError(
            f"no file name of {dataset} tells a speaker, so no split can keep speakers apart",
            next_step="--policy published, or --labels with lists of your own",
        )


def _describe(codec_id: str) -> str:
    card = find_codec(codec_id).card
    shown = ("name", "sample_rate", "hop_length", "codebooks", "codebook_size")
    facts = {name: value for name, value in asdict(card).items() if name in shown}
    return json.dumps(facts | {"kilobits_per_second": round(card.kilobits_per_second, 3)})
