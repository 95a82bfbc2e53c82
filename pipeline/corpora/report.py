"""The validation report: what the corpora hold against what was published, and every file that is odd."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from codecfake.pipeline.corpora.listing import CorpusListing, Finding
from codecfake.pipeline.corpora.naming import name_problem
from codecfake.pipeline.corpora.published import CODECFAKE_RECORDINGS, explain_count, published_corpus

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CorpusSummary:
    """One corpus in numbers.

    Attributes:
        recordings: Recordings under names of the corpus, usable or not: what the published count counts.
        misnamed: Files that are named otherwise, or a second time.
        usable: Recordings that go into the dataset.
        quarantined: Recordings and misnamed files that do not.
        hours: Length of the usable ones.
        sample_rates: Number of usable recordings by sample rate in Hz.
        transcripts: Number of usable recordings with a transcript.
        genders: Number of speakers by gender.
        published: Published number of recordings, None if there is none.
        published_speakers: Published number of speakers, None if there is none.
        codecfake: Number of recordings of the corpus in the published Codecfake.
        meaning: What a difference to it means.
    """

    corpus: str
    version: str
    root: str
    recordings: int
    misnamed: int
    usable: int
    quarantined: int
    hours: float
    sample_rates: dict[int, int]
    transcripts: int
    speakers: int
    genders: dict[str, int]
    published: int | None
    published_speakers: int | None
    codecfake: int
    meaning: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class OddFile:
    """A file with what is odd about it: why it is quarantined, or the notes of a usable one."""

    corpus: str
    path: str
    what: str
    message: str


@dataclass(frozen=True)
class Section:
    """A titled table of text, for whatever prints it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class CorporaReport:
    """Everything `codecfake corpora check` tells.

    Attributes:
        corpora: One summary per corpus.
        quarantined: Every quarantined file with its reason, sorted by reason.
        odd: Every usable file that differs from its corpus, sorted by its notes.
    """

    corpora: tuple[CorpusSummary, ...]
    quarantined: tuple[OddFile, ...]
    odd: tuple[OddFile, ...]

    @classmethod
    def from_source(cls, listings: Sequence[CorpusListing], source: "pa.Table") -> "CorporaReport":
        """Summarise listings and the source table that inspecting or probing them gave."""
        rows = source.to_pylist()
        quarantined = [
            OddFile(row["corpus"], row["path"], row["reason"], row["message"] or "")
            for row in rows
            if row["reason"] is not None
        ]
        odd = [
            OddFile(row["corpus"], row["path"], row["notes"], "")
            for row in rows
            if row["reason"] is None and row["notes"]
        ]
        return cls(
            tuple(
                _summarise(listing, [row for row in rows if row["corpus"] == listing.corpus])
                for listing in listings
            ),
            tuple(sorted(quarantined, key=lambda file: (file.what, file.corpus, file.path))),
            tuple(sorted(odd, key=lambda file: (file.what, file.corpus, file.path))),
        )

    @property
    def reasons(self) -> dict[str, int]:
        """Number of quarantined files by reason."""
        return dict(sorted(Counter(file.what for file in self.quarantined).items()))

    @property
    def notes(self) -> dict[str, int]:
        """Number of odd but usable files by their notes."""
        return dict(sorted(Counter(file.what for file in self.odd).items()))

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON types; sample rates become text, as the keys of JSON objects are."""
        return {
            "corpora": [
                asdict(summary) | {"sample_rates": {str(k): v for k, v in summary.sample_rates.items()}}
                for summary in self.corpora
            ],
            "reasons": self.reasons,
            "quarantined": [asdict(file) for file in self.quarantined],
            "notes": self.notes,
            "odd": [asdict(file) for file in self.odd],
        }

    def sections(self) -> list[Section]:
        """The report as tables; those without rows are left out."""
        findings = [
            (summary.corpus, finding.code, f"{finding.count:,}", finding.text, ", ".join(finding.examples))
            for summary in self.corpora
            for finding in summary.findings
        ]
        names = tuple(f"{summary.corpus} {summary.version}" for summary in self.corpora)
        sections = [
            Section("Corpora", ("", *names), self._summary_rows()),
            Section("Findings", ("corpus", "finding", "count", "what", "examples"), tuple(findings)),
            Section(
                f"Quarantined: {len(self.quarantined):,} files",
                ("reason", "corpus", "file", "message"),
                tuple((file.what, file.corpus, file.path, file.message) for file in self.quarantined),
            ),
            Section(
                f"Odd but usable: {len(self.odd):,} files",
                ("notes", "corpus", "file"),
                tuple((file.what, file.corpus, file.path) for file in self.odd),
            ),
        ]
        return [section for section in sections if section.rows]

    def _summary_rows(self) -> tuple[tuple[str, ...], ...]:
        columns = [
            {
                "folder": summary.root,
                "recordings": f"{summary.recordings:,}",
                "published": f"{summary.published:,}" if summary.published else "-",
                "in Codecfake": f"{summary.codecfake:,}",
                "what that means": summary.meaning,
                "misnamed": f"{summary.misnamed:,}",
                "usable": f"{summary.usable:,}",
                "quarantined": f"{summary.quarantined:,}",
                "speakers": _count_speakers(summary),
                "hours": f"{summary.hours:,.2f}",
                "sample rates": ", ".join(f"{rate} Hz: {n:,}" for rate, n in summary.sample_rates.items()),
                "transcripts": f"{summary.transcripts:,}",
            }
            for summary in self.corpora
        ]
        return tuple((name, *(column[name] for column in columns)) for name in columns[0]) if columns else ()


def _summarise(listing: CorpusListing, rows: Sequence[dict[str, Any]]) -> CorpusSummary:
    usable = [row for row in rows if row["reason"] is None]
    named = [item for item in listing.utterances if not name_problem(item)]
    genders = {item.speaker: item.gender for item in named}
    published = published_corpus(listing.corpus, listing.version)
    return CorpusSummary(
        corpus=listing.corpus,
        version=listing.version,
        root=str(listing.root),
        recordings=len(named),
        misnamed=len(listing.utterances) - len(named),
        usable=len(usable),
        quarantined=len(rows) - len(usable),
        hours=sum(row["seconds"] for row in usable) / 3600,
        sample_rates=dict(sorted(Counter(row["sample_rate"] for row in usable).items())),
        transcripts=sum(row["transcript"] is not None for row in usable),
        speakers=len(genders),
        genders=dict(sorted(Counter(genders.values()).items())),
        published=published.recordings if published else None,
        published_speakers=published.speakers if published else None,
        codecfake=CODECFAKE_RECORDINGS[listing.corpus],
        meaning=explain_count(listing.corpus, listing.version, len(named)),
        findings=listing.findings,
    )


def _count_speakers(summary: CorpusSummary) -> str:
    by_gender = ", ".join(f"{count} {gender or 'unknown'}" for gender, count in summary.genders.items())
    of_published = f" of {summary.published_speakers}" if summary.published_speakers else ""
    return f"{summary.speakers}{of_published} ({by_gender})"
