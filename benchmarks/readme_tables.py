"""Render the tables of measurements in the README from the JSON files in ``results``.

A table stands between ``<!-- results: NAME -->`` and ``<!-- end -->``; NAME is that of a file. ``--check`` changes
nothing, and fails where the README does not say what the files say.

    python benchmarks/readme_tables.py [--check]
"""

import argparse
import json
import re
import sys
from pathlib import Path

import record

from codecfake.flows import bench_tables
from codecfake.manifests.atomic import publish_text

README = Path(__file__).resolve().parents[1] / "README.md"
PLACE = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLES = {
    "resynthesis": bench_tables.RESYNTHESIS,
    "io": bench_tables.IO,
    "features": bench_tables.FEATURES,
    "train": bench_tables.TRAINING,
    "small": bench_tables.SMALL_FILES,
    "overlap": bench_tables.OVERLAP,
    "chaos": bench_tables.CHAOS,
    "load": bench_tables.LOAD,
    "soak": bench_tables.SOAK,
}
"""By what the names of the files begin with."""


def render(text: str, results: Path = record.RESULTS) -> str:
    """Put every table of ``text`` as the files in ``results`` have it."""

    def table(place: re.Match[str]) -> str:
        begin, name, end = place.groups()
        rows = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))["rows"]
        return f"{begin}{TABLES[name.partition('_')[0]].markdown(rows)}\n{end}"

    return PLACE.sub(table, text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    rendered = render(text)
    if rendered == text:
        print("The README says what the files say.")
    elif arguments.check:
        sys.exit("The README does not say what benchmarks/results says: python benchmarks/readme_tables.py")
    else:
        publish_text(README, rendered)
        print("Rendered.")


if __name__ == "__main__":
    main()
