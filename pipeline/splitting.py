"""The splitting step: from the built files of a run to a split with its tree, labels and manifests."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from codecfake.manifests.atomic import TEMPORARY_PREFIX, publish_json
from codecfake.manifests.checksums import CHECKSUMS, altered_files, publish_checksums
from codecfake.manifests.dataset import CodecRecord, build_dataset_table, digest_table, write_dataset
from codecfake.manifests.derived import DERIVED_FOLDER, MANIFEST
from codecfake.manifests.digests import file_sha256
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.exhaustion import refuse_exhaustion
from codecfake.manifests.label_files import write_label_files
from codecfake.manifests.label_matching import (
    LabelAssignment,
    assign_from_labels,
    find_label_files,
    name_files,
    place_by_labels,
)
from codecfake.manifests.records import read_json
from codecfake.manifests.split_summary import count_dataset, count_left_out, warn, warn_of_changed_sources
from codecfake.manifests.splits import (
    Placement,
    assign_published,
    assign_speaker_disjoint,
    place_items,
    source_rows,
)
from codecfake.pipeline.split_folders import (
    SUPERSEDED,
    TREE_NAME,
    finish_replacements,
    has_manifest,
    publish_folder,
    remove_drafts,
    replace_files,
)
from codecfake.pipeline.tree import TreeReport, link_tree

if TYPE_CHECKING:
    import pyarrow as pa

Policy = Literal["published", "speaker-disjoint"]
SPLITS_FOLDER = "splits"
SUMMARY = "splits.json"
LISTED = (MANIFEST, "manifest.csv", SUMMARY)
"""Files of a split whose digests are in its list of checksums."""


@dataclass(frozen=True)
class SplitReport:
    """What a split holds and how it came about."""

    name: str
    folder: Path
    is_new: bool
    """False if it was already up to date."""
    summary: dict[str, Any]
    """The content of ``splits.json``."""
    tree: TreeReport | None
    superseded: Path | None
    """Where the split of earlier inputs was moved to."""

    @property
    def warnings(self) -> list[str]:
        """What a user should know before training on the split."""
        return self.summary["warnings"]


def make_split(
    run_dir: Path,
    source: "pa.Table",
    items: "pa.Table",
    codecs: Mapping[str, CodecRecord],
    *,
    policy: Policy,
    labels: Path | None,
    seed: int,
    report: Callable[[str], None],
    mend: bool = False,
) -> SplitReport:
    """Split the built files of a run, and publish ``splits/<name>`` as the last act.

    A split of the same inputs is left as it is, or mended in its place. One of other inputs, as before a retry, is
    renamed to ``<name>.superseded-1`` and so on, never deleted.

    Args:
        run_dir: The run.
        source: Its source manifest.
        items: The item rows of all its published shards.
        codecs: A record for every codec of ``items`` but ``real``.
        policy: How utterances are assigned, unless ``labels`` are given.
        labels: Folder of the authors' own label files, to take their assignment instead.
        seed: Seed of the assignment; label files need none.
        report: Receives lines about the progress.
        mend: Whether files of the split that is there are damaged.

    Returns:
        What the split holds.

    Raises:
        CodecfakeError: If no usable file was built, or the inputs contradict each other.
    """
    usable = items.filter(items["reason"].is_null())
    if not usable.num_rows:
        raise CodecfakeError(
            f"{run_dir} has no usable audio to split", next_step="finish the build, see codecfake status RUN"
        )
    head: dict[str, Any] = {"policy": policy, "seed": seed, "labels": None}
    matched = None
    if labels is None:
        name = f"{policy}-seed{seed}"
        is_published = policy == "published"
        assigned = (
            assign_published(source["utterance_id"].to_pylist(), seed)
            if is_published
            else assign_speaker_disjoint(source, seed)
        )
        placement = place_items(usable, source, assigned, unseen_whole_corpus=is_published)
    else:
        digest = _digest_labels(labels)
        name = f"labels-{digest[:8]}"
        head = {"policy": "labels", "seed": None, "labels": {"sha256": digest}}
        matched = assign_from_labels(labels, name_files(usable))
        placement = place_by_labels(matched, source_rows(usable, source))
    return publish_split(
        run_dir,
        source,
        items,
        codecs,
        name=name,
        head=head,
        placement=placement,
        matched=matched,
        report=report,
        mend=mend,
    )


def publish_split(
    run_dir: Path,
    source: "pa.Table",
    items: "pa.Table",
    codecs: Mapping[str, CodecRecord],
    *,
    name: str,
    head: Mapping[str, Any],
    placement: Placement,
    matched: LabelAssignment | None = None,
    report: Callable[[str], None],
    mend: bool = False,
) -> SplitReport:
    """Publish a split whose files have their places; see `make_split`, which takes the same.

    Args:
        run_dir: The run.
        source: Its source manifest.
        items: The item rows of all its published shards.
        codecs: A record for every codec of ``items`` but ``real``.
        name: Name of the split.
        head: How it came about: ``policy``, ``seed``, ``labels`` and what else tells it from another.
        placement: Where each usable row of ``items`` is used.
        matched: How label files met the files, if they were used.
        report: Receives lines about the progress.
        mend: Whether files of the split that is there are damaged.
    """
    finish_replacements(run_dir / SPLITS_FOLDER)
    usable = items.filter(items["reason"].is_null())
    head = dict(head)
    report(f"Writing the manifests of {name}")
    table = build_dataset_table(source, usable, codecs, placement)
    if not table.num_rows:
        raise CodecfakeError(f"{name} would be empty: it has a place for none of the built files")
    head["input_digest"] = _digest_inputs(head, codecs, table)
    folder = run_dir / SPLITS_FOLDER / name
    existing = _read_summary(folder)
    is_same = existing.get("input_digest") == head["input_digest"]
    if is_same and not mend and (folder / TREE_NAME).is_dir():
        remove_drafts(folder)
        report(f"{name} is already up to date")
        return SplitReport(name, folder, False, existing, None, None)

    work_dir = folder.with_name(f"{TEMPORARY_PREFIX}{name}-{head['input_digest'][:12]}")
    write_dataset(table, work_dir)
    altered = dict(altered_files(folder / CHECKSUMS))
    is_held = has_manifest(folder, table)
    if is_held and folder / MANIFEST not in altered:
        # Another version of pyarrow writes other bytes, by whose digest detectors and conditions know the split.
        shutil.copyfile(folder / MANIFEST, work_dir / MANIFEST)
    in_place = is_same or is_held
    if in_place:
        report(f"Mending {name} in its place: it holds the same files")
    tree_dir = (folder if in_place else work_dir) / TREE_NAME
    tree = link_tree(run_dir, table, tree_dir, report, mend=in_place)
    write_label_files(table, tree_dir / "label")
    summary = head | count_dataset(table) | count_left_out(items, usable, placement)
    if matched:
        summary["labels"] |= {
            "files": [asdict(match) for match in matched.matches],
            "ignored": matched.ignored,
            "unnamed": matched.unnamed,
            "unnamed_examples": matched.unnamed_examples,
        }
    counted = existing if in_place and folder / SUMMARY not in altered else {}
    summary["copied_files"] = counted.get("copied_files", tree.copied)
    summary["warnings"] = [*warn(summary), *warn_of_changed_sources(usable, source)]
    publish_json(work_dir / SUMMARY, summary)
    publish_checksums(
        work_dir / CHECKSUMS,
        dict.fromkeys(work_dir / name for name in LISTED),
    )
    if in_place:
        replace_files(work_dir, folder)
        return SplitReport(name, folder, True, summary, tree, None)
    superseded = publish_folder(work_dir, folder)
    if superseded and (superseded / DERIVED_FOLDER).is_dir():
        report(f"The robustness conditions of the files before stay in {superseded / DERIVED_FOLDER}")
        report(f"Next: codecfake conditions {run_dir} --split {name} --add SETTING")
    return SplitReport(name, folder, True, summary, replace(tree, folder=folder / TREE_NAME), superseded)


def current_splits(run_dir: Path) -> list[Path]:
    """Folders of the published splits of a run, without the superseded ones."""
    folder = run_dir / SPLITS_FOLDER
    # Either file tells: a split that lost one of them is damaged, not absent.
    found = {path.parent for name in (SUMMARY, MANIFEST) for path in folder.glob(f"[!.]*/{name}")}
    return sorted(split for split in found if SUPERSEDED not in split.name)


def _digest_labels(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in find_label_files(folder)[0]:
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _digest_inputs(head: dict[str, Any], codecs: Mapping[str, CodecRecord], table: "pa.Table") -> str:
    records = {name: asdict(record) for name, record in codecs.items()}
    text = json.dumps([head, records, digest_table(table)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_summary(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / SUMMARY, {})
    except (OSError, CodecfakeError) as error:
        refuse_exhaustion(error)
        return {}
