"""Croissant 1.1 metadata: the files of an export with their digests, and the columns of its manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecfake.manifests.atomic import publish_json
from codecfake.pipeline.exports.contents import Contents
from codecfake.pipeline.exports.identity import identify
from codecfake.pipeline.exports.licences import LICENCE_PAGES
from codecfake.pipeline.exports.listing import MANIFEST
from codecfake.pipeline.provenance import codecfake_version

if TYPE_CHECKING:
    import pyarrow as pa

CROISSANT = "croissant.json"
DATA_TYPES = {"string": "sc:Text", "int64": "cr:Int64", "int32": "cr:Int32", "double": "cr:Float64"}
ENCODINGS = {
    ".csv": "text/csv",
    ".tar": "application/x-tar",
    ".parquet": "application/x-parquet",
    ".gz": "application/gzip",
    ".txt": "text/plain",
    ".jsonl": "application/jsonl",
}
COLUMNS = {
    "location": "Path inside the export of the file, or of the archive that holds it.",
    "label": "real or fake.",
    "method": "Third column of the published label files: 0 for genuine audio, 4 for F04.",
    "source_split": "Part that the utterance belongs to; split says where the file is used.",
    "conditions": "Test conditions of the file, separated by semicolons.",
    "processing": "Robustness condition that the file is under; empty for audio as it was built.",
    "corpus_licence": "Licence of the recording.",
    "codec_licence": "Licence of the published code of the codec; empty for genuine audio.",
    "weights_licence": "Licence of the codec's weights; empty for genuine audio.",
    "sha256": "Digest of the audio file.",
}
TERMS = (
    *(
        "arrayShape",
        "citeAs",
        "column",
        "conformsTo",
        "containedIn",
        "equivalentProperty",
        "extract",
        "field",
    ),
    *(
        "fileProperty",
        "fileObject",
        "fileSet",
        "format",
        "includes",
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
    ),
    *(
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
    ),
    *("separator", "source", "subField", "transform"),
)


def write_croissant(
    contents: Contents, manifest: "pa.Table", out: Path, digests: Mapping[str, str], date: str
) -> None:
    """Publish ``croissant.json``.

    Args:
        contents: The split.
        manifest: The content of ``manifest.csv``.
        out: The export.
        digests: Path to sha256 of every file that it lists, ``manifest.csv`` among them.
        date: Day of the export, as in 2026-11-21.
    """
    identity = identify(contents)
    licences = manifest["corpus_licence"].unique().to_pylist()
    publish_json(
        out / CROISSANT,
        {
            "@context": _context(),
            "@type": "sc:Dataset",
            "conformsTo": "http://mlcommons.org/croissant/1.1",
            "name": identity.name,
            "alternateName": identity.title,
            "description": " ".join(identity.content.split()),
            "isBasedOn": identity.paper,
            "version": codecfake_version(),
            "datePublished": date,
            "isLiveDataset": False,
            "inLanguage": sorted(set(manifest["language"].unique().to_pylist()) - {""}),
            "license": sorted(LICENCE_PAGES.get(licence, licence) for licence in licences),
            "citeAs": identity.citation,
            "creator": {"@type": "sc:Organization", "name": "codecfake"},
            "keywords": ["audio deepfake detection", "anti-spoofing", "neural audio codec"],
            "distribution": [_file_object(out, path, digest) for path, digest in sorted(digests.items())],
            "recordSet": [_record_set(manifest)],
        },
    )


def _context() -> dict[str, Any]:
    plain = {term: f"cr:{term}" for term in TERMS}
    return plain | {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "dct": "http://purl.org/dc/terms/",
        "conformsTo": "dct:conformsTo",
        "description": {"@container": "@language"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "name": {"@container": "@language"},
        "sc": "https://schema.org/",
    }


def _file_object(out: Path, path: str, digest: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{(out / path).stat().st_size} B",
        "encodingFormat": ENCODINGS.get(Path(path).suffix, "application/octet-stream"),
        "sha256": digest,
    }


def _record_set(manifest: "pa.Table") -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"files/{field.name}",
            "name": field.name,
            "description": COLUMNS.get(field.name, field.name.replace("_", " ")),
            "dataType": DATA_TYPES[str(field.type)],
            "source": {"fileObject": {"@id": MANIFEST}, "extract": {"column": field.name}},
        }
        for field in manifest.schema
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "files",
        "name": "files",
        "description": "One row per audio file.",
        "key": {"@id": "files/file"},
        "field": fields,
    }
