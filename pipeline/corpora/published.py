"""How many recordings each corpus holds by what was published, and what another number means."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedCorpus:
    """A published count of recordings.

    Attributes:
        recordings: Number of recordings of the complete corpus.
        speakers: Number of speakers of the complete corpus.
        known: What some other numbers of recordings mean.
    """

    recordings: int
    speakers: int
    known: dict[int, str]


VCTK_080 = PublishedCorpus(44_242, 109, {44_070: "172 fewer than published: those of p315, without text?"})
VCTK_092 = PublishedCorpus(44_455, 110, {44_242: "as many as VCTK 0.80, though the layout is that of 0.92"})
AISHELL_3 = PublishedCorpus(
    88_035,
    218,
    {
        63_262: "only the train part (63,262); Codecfake pools train and test",
        24_773: "only the test part (24,773); Codecfake pools train and test",
        86_525: "train and the 23,262 test utterances of the AISHELL-3 paper; the archive has 24,773",
    },
)


CODECFAKE_RECORDINGS = {"vctk": 44_242, "aishell3": 88_035}
"""How many recordings of each corpus the published Codecfake was made from."""


def published_corpus(corpus: str, version: str) -> PublishedCorpus | None:
    """Find the published count; None where none was published (the second microphone of VCTK 0.92)."""
    if corpus == "aishell3":
        return AISHELL_3
    return {"0.80": VCTK_080, "0.92 mic1": VCTK_092}.get(version)


def explain_count(corpus: str, version: str, recordings: int) -> str:
    """Say in words what a number of recordings means for rebuilding the published dataset."""
    published = published_corpus(corpus, version)
    if published is None:
        return "no count is published for mic2; Codecfake has 44,242 recordings, those of VCTK 0.80"
    complete = _explain_complete(corpus, version)
    if recordings == published.recordings:
        return complete
    if recordings in published.known:
        return published.known[recordings]
    difference = recordings - published.recordings
    if difference > 0:
        return f"{difference:,} more than the {published.recordings:,} published: files were added"
    share = recordings / published.recordings
    return f"{-difference:,} fewer than the {published.recordings:,} published: {share:.2%} of the corpus"


def _explain_complete(corpus: str, version: str) -> str:
    if corpus == "aishell3":
        return "complete: 63,262 train + 24,773 test, the count of the published Codecfake"
    if version == "0.80":
        return "complete: the count of the published Codecfake, with the 172 text-less files of p315"
    return (
        "complete, but Codecfake has the 44,242 of VCTK 0.80: 213 more here, s5 among them, "
        "so the sizes of the published splits will not come out"
    )
