"""Under which licence each file of a split stands: its corpus, its codec's code, its codec's weights."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from codecfake.codec_adapters import CodecError, find_codec
from codecfake.manifests.schema import REAL
from codecfake.pipeline.corpora_fetch import CORPORA
from codecfake.pipeline.imports.record import ImportRecord

VCTK_080_LICENCE = "ODC-By 1.0"
MINI_LICENCE = "MIT (demonstration network that ships with codecfake)"
GIVEN_LICENCE = "not known (weights given by the user; checkpoint_sha256 names them)"
SYNTHETIC = "none of the corpus: synthetic speech (espeak-ng) stands in for it"
"""In place of the licence of a corpus, in what `codecfake demo` made; imports of it keep the sentence."""
NOT_KNOWN = "not known"
AS_PUBLISHED = "as published"
"""Setting of the weights of an imported run."""
LICENCE_PAGES = {
    "CC BY 4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC BY-NC-ND 4.0": "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    VCTK_080_LICENCE: "https://opendatacommons.org/licenses/by/1-0/",
}


@dataclass(frozen=True)
class CodecLicences:
    """Licences behind the fakes of a codec; empty for bona fide audio."""

    code: str
    weights: str


def licences_of_corpora(
    corpora: Collection[str], stamp: Mapping[str, Any], imported: ImportRecord | None
) -> dict[str, str]:
    """Licence of the recordings of each corpus of a run.

    Args:
        corpora: Their names in the manifests.
        stamp: The run's ``run.json``.
        imported: What the run was imported from, if it was not built.
    """
    if imported:
        return {name: imported.licences.get(name, imported.licence) for name in corpora}
    if is_synthetic(stamp, imported):
        return dict.fromkeys(corpora, SYNTHETIC)
    versions = stamp.get("fingerprint", {}).get("corpora", "")
    return {name: corpus_licence(name, versions) for name in corpora}


def is_synthetic(stamp: Mapping[str, Any], imported: ImportRecord | None) -> bool:
    """Whether `codecfake demo` made a run, or the tree that it was imported from; the arguments are those above."""
    if imported:
        return SYNTHETIC in imported.licences.values()
    return shlex.split(stamp.get("process", {}).get("command", ""))[1:2] == ["demo"]


def corpus_licence(corpus: str, versions: str) -> str:
    """Licence of a corpus as it is published.

    Args:
        corpus: Its name in the manifests.
        versions: The corpora and versions of the run, as its fingerprint has them.
    """
    if corpus == "vctk" and "vctk 0.80" in versions:
        return VCTK_080_LICENCE
    return CORPORA[corpus].licence if corpus in CORPORA else NOT_KNOWN


def codec_licences(codec: str, weights: str) -> CodecLicences:
    """Licences of a codec's code and weights.

    Args:
        codec: Id of the codec, or ``real``.
        weights: The run's setting: official, mini, or a folder; ``AS_PUBLISHED`` where the fakes were imported.
    """
    if codec == REAL:
        return CodecLicences("", "")
    try:
        card = find_codec(codec).card
    except CodecError:
        return CodecLicences(NOT_KNOWN, NOT_KNOWN)
    stated = {"official": card.weights_licence, "mini": MINI_LICENCE, AS_PUBLISHED: NOT_KNOWN}
    return CodecLicences(card.code_licence, stated.get(weights, GIVEN_LICENCE))
