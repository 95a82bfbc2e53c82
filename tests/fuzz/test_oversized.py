"""What small files that claim to be huge cost: measured in a process with 4 GiB of address space."""

import json
import subprocess
import sys
from pathlib import Path

OUTCOMES = {
    "WAV of 44 bytes that claims 2 GB": "empty, window empty",
    "WAV of 3 hours": "unreadable, window read",
    "FLAC of 3 hours of silence": "unreadable, window read",
    "FLAC of 23 s, 8 channels, 655 kHz": "unreadable, window unreadable",
    "label file of a million lines, one bad": "999999 labels, 1 bad",
    "protocol of a million lines, one bad": "999999 rows",
    "scores of a million lines, one bad": "999999 scores, 1 bad",
    "scores of 0.5 GB in one line, gzipped": "10 scores",
    "FLAC of 50 minutes of one value": "usable, window read",
}


def test_nothing_takes_more_memory_than_it_should(tmp_path):
    script = Path(__file__).with_name("oversized.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["case"]: row["outcome"] for row in rows} == OUTCOMES
    recordings = [row for row in rows if "window" in row["outcome"] and "usable" not in row["outcome"]]
    assert max(row["seconds"] for row in recordings) < 2
    assert max(row["peak_mib"] for row in rows[:3]) < 300
    assert max(row["peak_mib"] for row in rows) < 1_500
