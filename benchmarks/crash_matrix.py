"""Kill every command at every step, and worse; print what was tried and what was lost.

Work is killed, starved and damaged as the modules of ``tests/chaos`` say, in forked copies of this process. A reader
looks at the folders all the while. What was lost is shown, and its folders are kept.

Usage: python benchmarks/crash_matrix.py [--short] [--lanes 2] [--folder FOLDER] [--json FILE]
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="what `make test` does; writes no result")
    parser.add_argument("--lanes", type=int, default=2, help="jobs at the same time")
    parser.add_argument("--folder", type=Path, help="an empty folder to work in; a temporary one by default")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
    from chaos.matrix import FULL, SHORT, run_matrix, summed
    from chaos.warm import warm_up
    from record import environment, write_result

    from codecfake.flows.bench_tables import CHAOS

    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="codecfake-chaos-"))
    about = environment()
    began = time.monotonic()
    warm_up()
    rows = run_matrix(folder, SHORT if arguments.short else FULL, arguments.lanes)
    minutes = (time.monotonic() - began) / 60
    table = summed(rows)
    losses = [loss for row in rows for loss in row.tally.losses]
    print(CHAOS.markdown(table))
    print(f"{sum(row['runs'] for row in table):,} runs in {minutes:.1f} minutes, {len(losses)} losses")
    for loss in losses:
        print(f"LOST: {loss}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2), encoding="utf-8")
    if not arguments.short:
        content = {"environment": about, "minutes": round(minutes, 1), "rows": table}
        write_result("chaos", content, CHAOS.page(table))
    if losses:
        sys.exit(f"What was lost is in {folder}")


if __name__ == "__main__":
    main()
