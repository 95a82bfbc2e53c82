"""Under which licence each file of a split stands: its corpus, its codec's code, its codec's weights."""

from dataclasses import dataclass

from codecfake.codec_adapters import CodecError, find_codec
from codecfake.manifests.schema import REAL
from codecfake.pipeline.corpora_fetch import CORPORA

VCTK_080_LICENCE = "ODC-By 1.0"
MINI_LICENCE = "MIT (demonstration network that ships with codecfake)"
GIVEN_LICENCE = "not known (weights given by the user; checkpoint_sha256 names them)"
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
