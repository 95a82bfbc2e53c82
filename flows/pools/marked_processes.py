"""Processes that carry the mark of a worker, whoever their parent is: found, and ended."""

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

MARK = "CODECFAKE_WORKER"
"""Variable by which a worker and its flow processes are found; Prefect puts these into sessions of their own."""
SECONDS_TO_STOP = 10.0
"""For a flow process that was told to end: time to report it, and to leave its utterance."""
_FLOW_RUN = "PREFECT__FLOW_RUN_ID"


def kill_workers(marks: Collection[str]) -> None:
    """End the workers themselves at once, so that they take no more work; their flow processes go on."""
    for pid, flow_run in _marked(marks).items():
        if not flow_run:
            _send(pid, signal.SIGKILL)


def end_flow_runs(marks: Collection[str], spared: Collection[int] = ()) -> list[str]:
    """End the flow processes that workers started, whether these live or not.

    Args:
        marks: Of the workers.
        spared: Processes that are left alone: the workers themselves.

    Returns:
        The flow runs that the processes were working on.
    """
    found = _marked(marks, spared)
    flow_runs = set(found.values())
    for pid in found:
        _send(pid, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_STOP
    while found := _marked(marks, spared):
        flow_runs |= set(found.values())
        if time.monotonic() > deadline:
            for pid in found:
                _send(pid, signal.SIGKILL)
        time.sleep(0.05)
    return sorted(flow_runs - {""})


def _marked(marks: Collection[str], spared: Collection[int] = ()) -> dict[int, str]:
    """Process ids, and the flow runs that they belong to; ``""`` for a worker and what it starts for itself."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone since, or of another user
            entries = (folder / "environ").read_text(errors="replace").split("\0")
            variables = dict(entry.partition("=")[::2] for entry in entries)
            if variables.get(MARK) in marks and int(folder.name) not in spared:
                found[int(folder.name)] = variables.get(_FLOW_RUN, "")
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
