"""What of each measurement is shown: in the terminal, in its Markdown file, and in the README."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codecfake.manifests.measurements import markdown_table


@dataclass(frozen=True)
class Column:
    """One column of a table of measurements."""

    title: str
    key: str
    """Of the row; ``a.b`` is key ``b`` of what ``a`` holds."""
    template: str = "{}"

    def show(self, row: Mapping[str, Any]) -> str:
        """The cell of a row; empty where it has no such figure."""
        value: Any = row
        for key in self.key.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return "" if value is None else self.template.format(value)


@dataclass(frozen=True)
class BenchTable:
    """How the rows of one kind of measurement are shown."""

    title: str
    parts: tuple[tuple[Column, ...], ...]
    """Columns, in as many tables as it takes for 80 characters to be enough."""
    about: str

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[list[str], list[list[str]]]]:
        """Heads and body of each table."""
        return [
            ([column.title for column in part], [[column.show(row) for column in part] for row in rows])
            for part in self.parts
        ]

    def markdown(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The tables alone."""
        return "\n\n".join(markdown_table(*table) for table in self.tables(rows))

    def page(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The tables with their title and what the columns mean."""
        return f"# {self.title}\n\n{self.about}\n\n{self.markdown(rows)}"


_SPEEDS = (
    Column("utt/s", "utterances_per_second", "{:.2f}"),
    Column("x real time", "audio_seconds_per_second", "{:.2f}"),
    Column("bare", "bare_utterances_per_second", "{:.2f}"),
    Column("of it", "ratio_to_bare", "{:.3f}"),
    Column("loop", "loop_utterances_per_second", "{:.2f}"),
    Column("times it", "ratio_to_loop", "{:.2f}"),
)
_SHARES = (
    Column("read %", "read_percent", "{:.1f}"),
    Column("resample %", "resample_percent", "{:.1f}"),
    Column("network %", "network_percent", "{:.1f}"),
    Column("write %", "write_percent", "{:.1f}"),
    Column("wait %", "wait_percent", "{:.1f}"),
    Column("MiB", "peak_mebibytes"),
)

RESYNTHESIS = BenchTable(
    "Resynthesis: the pipeline, the bare network, and a loop over files",
    (
        (
            Column("codec", "codec"),
            Column("device", "device"),
            Column("pipeline", "audio_seconds_per_second", "{:.2f}"),
            Column("utt/s", "utterances_per_second", "{:.2f}"),
            Column("bare", "bare_audio_seconds_per_second", "{:.2f}"),
            Column("of it", "ratio_to_bare", "{:.3f}"),
            Column("loop", "loop_audio_seconds_per_second", "{:.2f}"),
            Column("times it", "ratio_to_loop", "{:.2f}"),
        ),
        (
            Column("codec", "codec"),
            *_SHARES,
            Column("per batch", "utterances_per_batch"),
        ),
    ),
    """\
Pipeline, bare network and loop: seconds of audio per second, medians of the rounds, in which the three take turns; the
ratios are medians of those of each round; utt/s: utterances per second in the pipeline. Read, resample, network and
write share the time that threads spent in them; wait is how much of its time the device (on a CPU: a core) had no
network to run. The bare network runs the same batches, ready in memory, in as many threads as the pipeline. The loop is
what a script does: one file after the other through the same network, with torch's own settings, in a process of its
own. It gets lengths of 2.0 to 4.5 s in file order; the pipeline gets the same mean sorted by length, as in a shard of
the full corpora. Memory: of the process with the pipeline, or of the GPU.""",
)
FEATURES = BenchTable(
    "Features of the front ends: the cache, the bare network, and a loop over files",
    (
        (Column("model", "model"), *_SPEEDS),
        (Column("model", "model"), *_SHARES),
    ),
    """\
Utt/s, bare network and loop: utterances per second; the three take turns. Read, resample, network and write share the
time that threads spent in them; wait is how much of the time there was no batch for the network. The loop reads a whole
file, resamples, crops, runs the same front end and saves one file per utterance, with torch's own settings, in a
process of its own.""",
)
TRAINING = BenchTable(
    "Training detectors: the loader, the bare network, and a DataLoader",
    (
        (Column("model", "model"), Column("from", "source"), *_SPEEDS),
        (
            Column("model", "model"),
            Column("from", "source"),
            Column("optimizer", "optimizer"),
            Column("batch", "batch_size"),
            Column("s/step", "seconds_per_step", "{:.3f}"),
            Column("wait %", "wait_percent", "{:.1f}"),
            Column("MiB", "peak_mebibytes"),
        ),
    ),
    """\
Utt/s, bare network and loop: utterances per second; the three take turns. Wait is how much of the time a step waited
for its batch. The loop is torch's DataLoader over the same files, or over one file of features per utterance, with the
same step. From audio, the front end runs within the step.""",
)
IO = BenchTable(
    "Reading, resampling and writing, without a network",
    (
        (
            Column("work", "work"),
            Column("in", "kind"),
            Column("workers", "workers"),
            Column("files/s", "files_per_second", "{:.1f}"),
            Column("x real time", "audio_seconds_per_second", "{:.1f}"),
        ),
    ),
    """\
Utterances of 3.25 s, 48 kHz FLAC, from the system's cache of files. Read: open, hash, decode. Resample: to 24 kHz;
what processes made comes back to who asked. Write: round, encode, hash, write, then flush, check and publish as one
shard. The last two rows are the whole pipeline with a codec that gives back what it gets, and with a sink that keeps
nothing.""",
)
SMALL_FILES = BenchTable(
    "The cost of a file",
    (
        (
            Column("step", "step"),
            Column("10,000 files", "10000.cpu_microseconds", "{:.0f}"),
            Column("100,000 files", "100000.cpu_microseconds", "{:.0f}"),
        ),
    ),
    "Microseconds of CPU per file.",
)
OVERLAP = BenchTable(
    "How busy the pipeline keeps a fast device",
    (
        (
            Column("device, x real time", "device_times_real_time", "{:,.0f}"),
            Column("busy %", "busy_percent", "{:.1f}"),
            Column("x real time reached", "audio_seconds_per_second", "{:,.0f}"),
            Column("cores used", "cores_used", "{:.2f}"),
            Column("CPU ms per output", "cpu_milliseconds_per_output", "{:.2f}"),
        ),
    ),
    """\
A stand-in for a GPU that sleeps for as long as its network would take; three codecs at 16 kHz share each reading of a
48 kHz FLAC of 3.25 s; these cores do everything but the network.""",
)
CHAOS = BenchTable(
    "What was broken on purpose",
    (
        (
            Column("fault", "fault"),
            Column("commands", "commands"),
            Column("workers", "workers"),
            Column("runs", "runs", "{:,}"),
            Column("hit", "hits", "{:,}"),
            Column("losses", "losses", "{:,}"),
        ),
    ),
    """\
After each run under a fault the same command is given without it, and the folder is compared with one that nothing
happened to. A loss is: manifests or audio that differ by a byte, something published that was made again, half a file
that a second process saw, which read the folder all the while, or a command that ended in a traceback. Hit: the fault
met the command before it was over. Signals have to end it within 30 s, with a line that says how to go on. Damage of a
finished run has to be found by `verify` and mended by `retry`.""",
)
LOAD = BenchTable(
    "Commands on a run of 1,058,216 files",
    (
        (
            Column("command", "command"),
            Column("seconds", "seconds", "{:,.0f}"),
            Column("of CPU", "cpu_seconds", "{:,.0f}"),
            Column("MiB", "peak_mebibytes", "{:,}"),
            Column("end", "ended"),
        ),
    ),
    """\
Files of 0.12 s, so that the run takes 6 GB; each command is a process of its own, typed as a user would. MiB: the most
memory that one of its processes had. Stopped: it computes on every file, and got Ctrl-C after five minutes.""",
)
SOAK = BenchTable(
    "A day's build in minutes",
    (
        (
            Column("what", "what"),
            Column("second quarter", "second_quarter", "{:,g}"),
            Column("last quarter", "last_quarter", "{:,g}"),
            Column("change", "change", "{:+,g}"),
        ),
    ),
    """\
As many shards as the whole dataset has, through Prefect, with few and short utterances and a codec that computes next
to nothing; the lock gives as many signs of life as in a day. Medians of a quarter of the samples; what grows from the
second to the last quarter would go on growing.""",
)
