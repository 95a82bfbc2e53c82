"""What a person reads when two runs were compared."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from codecfake.flows.summaries import LISTED, say
from codecfake.flows.tables import show_table

if TYPE_CHECKING:
    from codecfake.detector.score_comparison import ScoreDifferences
    from codecfake.pipeline.comparing.audio import AudioDifferences
    from codecfake.pipeline.comparing.rows import RowDifferences
    from codecfake.pipeline.comparing.runs import RunComparison


def show_runs(comparison: "RunComparison", scores: Sequence["ScoreDifferences"], *, are_same: bool) -> None:
    """Show how two runs were made, and then what differs in them: utterances, quarantine, splits, audio, scores.

    Args:
        comparison: Where the runs differ.
        scores: Where the scores of their detectors do.
        are_same: The verdict on all of it.
    """
    if comparison.circumstances:
        rows = [(pair.name, pair.first, pair.second) for pair in comparison.circumstances]
        show_table("Made otherwise", ("what", "first run", "second run"), rows)
    tables = (comparison.sources, *comparison.items, *comparison.splits)
    _show_rows([part for part in tables if not part.are_same])
    _show_audio([part for part in comparison.audio if part.files != part.identical])
    if scores:
        columns = ("detector", "part", "weights", "files", "equal", "only one", "largest", "mean")
        rows = [
            (part.detector, part.part, "same" if part.same_weights else "other", part.files, part.equal,
             part.only_first + part.only_second, f"{part.largest:.3g}", f"{part.mean:.3g}")
            for part in scores if not part.are_same
        ]  # fmt: skip
        show_table("Scores that differ", columns, rows) if rows else say("All scores are equal.")
    files = sum(part.files for part in comparison.audio)
    identical = sum(part.identical for part in comparison.audio)
    say(f"{identical:,} of {files:,} files are identical, byte for byte.")
    say(_verdict(comparison, are_same))


def _show_rows(tables: Sequence["RowDifferences"]) -> None:
    if not tables:
        say("Utterances, quarantine and splits are the same.")
        return
    rows = [
        (part.what, part.equal, part.only_first, part.only_second,
         ", ".join(f"{column} {count:,}" for column, count in part.changed.items()) or "-")
        for part in tables
    ]  # fmt: skip
    show_table("Rows that differ", ("table", "equal", "only first", "only second", "changed"), rows)
    examples = [f"  {part.what}: {example}" for part in tables for example in part.examples]
    for line in examples[:LISTED]:
        say(line)
    if len(examples) > LISTED:
        say("  and more, see --json")


def _show_audio(codecs: Sequence["AudioDifferences"]) -> None:
    if not codecs:
        return
    columns = ("codec", "files", "identical", "within", "beyond", "unlike")
    rows = [
        (part.codec, part.files, part.identical, part.within, part.beyond, part.unlike) for part in codecs
    ]
    show_table("Audio that differs", columns, rows)
    columns = ("codec", "frames beyond %", "largest step", "SNR dB", "SI-SDR dB", "mel dB")
    rows = [
        (part.codec, f"{part.frames_beyond:.3f}", f"{part.largest:.0f}", _number(part.lowest_snr),
         _number(part.lowest_si_sdr), f"{part.largest_mel_distance:.3f}")
        for part in codecs
    ]  # fmt: skip
    show_table("By how much at the most", columns, rows)
    for part in codecs:
        for file in part.worst:
            say(
                f"  {file.file}: at most {file.largest:.0f} of 32,768, "
                f"{file.frames_beyond} of {file.frames} frames, log-mel distance {file.mel_distance:.3f} dB"
            )
        for problem in part.problems:
            say(f"  {problem}")


def _verdict(comparison: "RunComparison", are_same: bool) -> str:
    tolerance = comparison.tolerance
    if tolerance is None:
        return "The runs are the same." if are_same else "The runs differ."
    verdict = "The runs are the same within" if are_same else "The runs differ by more than"
    steps = f"{tolerance.steps:g} step{'' if tolerance.steps == 1 else 's'}"
    return f"{verdict} {steps} of 16 bits in all but {tolerance.frames:g} % of the frames of each codec."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
