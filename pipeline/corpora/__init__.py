"""The source corpora, listed by name: no audio is opened here."""

from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.corpora.aishell3 import list_aishell3
from codecfake.pipeline.corpora.listing import CorpusListing
from codecfake.pipeline.corpora.remote import list_located
from codecfake.pipeline.corpora.vctk import Microphone, list_vctk
from codecfake.pipeline.object_store import Location


def list_corpora(
    vctk: Location | None, aishell3: Location | None, microphone: Microphone = "mic1"
) -> list[CorpusListing]:
    """List the corpora that are given; one of them is enough.

    Args:
        vctk: Root of VCTK 0.92 or 0.80: a folder, or the URL of one in an object store.
        aishell3: Root of AISHELL-3, likewise.
        microphone: Which recordings of VCTK 0.92 to take.

    Raises:
        CodecfakeError: If neither is given, or one is not what it should be.
    """
    listings = []
    if aishell3 is not None:
        listings.append(list_located(aishell3, list_aishell3))
    if vctk is not None:
        listings.append(list_located(vctk, lambda root: list_vctk(root, microphone)))
    if not listings:
        raise CodecfakeError("no corpus is given", next_step="add --vctk DIR, --aishell3 DIR or both")
    return listings
