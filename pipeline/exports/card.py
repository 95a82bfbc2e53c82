"""The dataset card: a Hub README whose YAML metadata and tables come from the run."""

from collections import Counter
from pathlib import Path
from typing import Any

from codecfake.codec_adapters import CodecError, find_codec
from codecfake.manifests.atomic import publish_text
from codecfake.manifests.dataset import condition_rows
from codecfake.manifests.derived import PROCESSING
from codecfake.manifests.measurements import markdown_table
from codecfake.manifests.schema import REAL
from codecfake.manifests.showing import for_markdown
from codecfake.manifests.splits import SPLITS, codec_role
from codecfake.pipeline.exports.card_texts import (
    AS_LISTED,
    LIMITS,
    LOADING,
    MINI_WARNING,
    ONLY_WAV,
    SEVERAL_ENDINGS,
    SYNTHETIC_WARNING,
    WITHOUT_CONFIGURATION,
)
from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.exports.identity import identify
from codecfake.pipeline.exports.licences import LICENCE_PAGES, is_synthetic
from codecfake.pipeline.exports.listing import count_by
from codecfake.pipeline.exports.naming import ending_of

CARD = "README.md"
LICENCES = "LICENSE.md"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
BUILT_LICENCES = """\
The licences of the recordings are those of the published corpora. Stand-ins of the same layout do not fall under them.
"""
IMPORTED_LICENCES = """\
The files were imported from a published dataset. The licence of the recordings is that of the dataset as a whole, and
covers its fakes, too.
"""
LARGEST_SIZE = "1M<n<10M"


def write_card(contents: Contents, out: Path, format_name: str, configs: list[dict[str, Any]]) -> None:
    """Publish ``README.md`` and ``LICENSE.md``.

    Args:
        contents: The split.
        out: The export.
        format_name: How it is laid out: tree, hf, webdataset, shar or asvspoof.
        configs: Hub configurations, for the formats that have them.
    """
    publish_text(out / LICENCES, _licences(contents))
    publish_text(
        out / CARD, f"---\n{_metadata(contents, configs)}\n---\n\n{_body(contents, format_name, configs)}"
    )


def _metadata(contents: Contents, configs: list[dict[str, Any]]) -> str:
    from huggingface_hub import DatasetCardData

    files = contents.table.num_rows
    more: dict[str, Any] = {"configs": configs} if configs else {}
    return DatasetCardData(
        language=sorted({row["language"] for row in count_by(contents.table, ["language"])} - {""}),
        license="other",
        license_name="per-file",
        license_link=LICENCES,
        annotations_creators=["machine-generated"],
        pretty_name=identify(contents).title,
        size_categories=[next((name for limit, name in SIZES if files < limit), LARGEST_SIZE)],
        source_datasets=["extended"],
        task_categories=["audio-classification"],
        tags=["audio-deepfake-detection", "anti-spoofing", "neural-audio-codec", "speech"],
        **more,
    ).to_yaml()


def _body(contents: Contents, format_name: str, configs: list[dict[str, Any]]) -> str:
    identity, summary = identify(contents), contents.summary
    split, run = for_markdown(contents.split), for_markdown(str(contents.stamp["digest"])[:12])
    seed = f", seed {summary['seed']}" if summary["seed"] is not None else ""
    about = f"Split `{split}` (policy {for_markdown(summary['policy'] + seed)}) of run `{run}`."
    parts = [
        f"# {identity.title}",
        identity.content,
        *([f"**{SYNTHETIC_WARNING}**"] if is_synthetic(contents.stamp, contents.imported) else []),
        *([MINI_WARNING] if contents.weights == "mini" else []),
        about,
        f"## How to read it\n\n{LOADING[format_name]}\n{_reading(contents, format_name, configs)}",
        f"## Counts\n\n{_counts(contents)}",
        *([f"## Robustness conditions\n\n{_settings_counts(contents)}"] if contents.settings else []),
        f"## Codecs\n\n{_codecs(contents)}",
        f"## Licences\n\nEvery row names three: `corpus_licence`, `codec_licence` and `weights_licence`. "
        f"[{LICENCES}]({LICENCES}) lists them.",
        f"## Limits\n\n{LIMITS}",
        *([f"## Warnings of the split\n\n{_bullets(summary['warnings'])}"] if summary["warnings"] else []),
        f"## How it was built\n\n{_settings(contents)}",
        f"## Citation\n\n```bibtex\n{identity.citation}\n```\n\nCite the corpora and the codecs too.",
    ]
    return "\n\n".join(parts) + "\n"


def _reading(contents: Contents, format_name: str, configs: list[dict[str, Any]]) -> str:
    """What else a reader of these files has to know."""
    endings = Counter(ending_of(path) for path in contents.table["path"].to_pylist())
    counts = ", ".join(f"{count:,} {ending}" for ending, count in sorted(endings.items()))
    several = AS_LISTED if format_name == "tree" else SEVERAL_ENDINGS
    text = ONLY_WAV if list(endings) == [".wav"] else several.format(counts=counts)
    named = {config["config_name"] for config in configs}
    lacking = [name for name in condition_rows(contents.table) if name not in named]
    if configs and lacking:
        text += "\n" + WITHOUT_CONFIGURATION.format(names=", ".join(map(for_markdown, lacking)))
    return text


def _counts(contents: Contents) -> str:
    found = {(row["split"], row["codec"]): row for row in count_by(contents.table, ["split", "codec"])}
    codecs = sorted({codec for _, codec in found}, key=lambda name: codec_role(name).order)
    rows = [
        [split, codec, found[split, codec]["files"], found[split, codec]["hours"]]
        for split in SPLITS
        for codec in codecs
        if (split, codec) in found
    ]
    return markdown_table(["split", "codec", "files", "hours"], rows)


def _settings_counts(contents: Contents) -> str:
    rows = [
        [row[PROCESSING], row["files"], row["hours"]]
        for row in count_by(contents.table, [PROCESSING])
        if row[PROCESSING]
    ]
    table = markdown_table(["processing", "files", "hours"], rows)
    return (
        "Evaluation files once more, bona fide and fake alike, through a channel, noise or a room. The column "
        f"`processing` tells them apart; they are part of the counts above.\n\n{table}"
    )


def _codecs(contents: Contents) -> str:
    rows = []
    for row in _distinct(contents, ["codec", "checkpoint_sha256"]):
        codec = row["codec"]
        if codec != REAL:
            rows.append(
                [codec, codec_role(codec).condition, *_facts(codec), f"`{row['checkpoint_sha256'][:12]}`"]
            )
    return markdown_table(["codec", "condition", "model", "kbps", "weights (sha256)"], rows)


def _facts(codec: str) -> tuple[str, str]:
    try:
        card = find_codec(codec).card
    except CodecError:
        return "not known", "not known"
    return card.name, f"{card.kilobits_per_second:.3g}"


def _licences(contents: Contents) -> str:
    corpora = [
        [row["corpus"], row["files"], row["corpus_licence"], LICENCE_PAGES.get(row["corpus_licence"], "")]
        for row in _distinct(contents, ["corpus", "corpus_licence"])
    ]
    codecs = [
        [row["codec"], row["files"], row["codec_licence"], row["weights_licence"]]
        for row in _distinct(contents, ["codec", "codec_licence", "weights_licence"])
        if row["codec"] != REAL
    ]
    return "\n\n".join(
        [
            "# Licences",
            "No one licence covers every file. A fake derives from a recording, and was made with a codec's "
            "code and weights. `manifest.csv` names all three for every file.",
            f"## Recordings\n\n{markdown_table(['corpus', 'files', 'licence', 'text'], corpora)}",
            f"## Codecs\n\n{markdown_table(['codec', 'files', 'code of its authors', 'weights'], codecs)}",
            IMPORTED_LICENCES if contents.is_published else BUILT_LICENCES,
        ]
    )


def _settings(contents: Contents) -> str:
    fingerprint = {
        name: value for name, value in contents.origin.items() if contents.imported or "sha256" not in name
    }
    return markdown_table(["setting", "value"], list(fingerprint.items()))


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {for_markdown(line)}" for line in lines)


def _distinct(contents: Contents, columns: list[str]) -> list[dict[str, Any]]:
    rows = count_by(contents.table, columns)
    return sorted(
        rows, key=lambda row: codec_role(row["codec"]).order if "codec" in row else (0, 0, row["corpus"])
    )
