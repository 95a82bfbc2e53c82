"""The source corpora, listed by name: no audio is opened here."""

from pathlib import Path

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.corpora.aishell3 import list_aishell3
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.corpora.vctk import Microphone, list_vctk


def list_corpora(
    vctk: Path | None, aishell3: Path | None, microphone: Microphone = "mic1"
) -> list[CorpusListing]:
    """List the corpora that are given; one of them is enough.

    Args:
        vctk: Root of VCTK 0.92 or 0.80.
        aishell3: Root of AISHELL-3.
        microphone: Which recordings of VCTK 0.92 to take.

    Raises:
        CodecfakeError: If neither is given, or one is not what it should be.
    """
    listings = []
    if aishell3 is not None:
        listings.append(list_aishell3(aishell3))
    if vctk is not None:
        listings.append(list_vctk(vctk, microphone))
    if not listings:
        raise CodecfakeError("no corpus is given", next_step="add --vctk DIR, --aishell3 DIR or both")
    return listings
