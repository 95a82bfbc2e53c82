"""A build whose blocks are done by processes of their own, each of which may die, as by the workers of a pool."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from codecfake.pipeline.build import build
from codecfake.pipeline.config import make_config
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.resynthesis_job import ResynthesisJob
from codecfake.pipeline.shards import ShardBlock
from codecfake.pipeline.worker_blocks import run_named_blocks


def build_in_processes(settings: dict[str, Any], count: int) -> None:
    """Build with so many processes; exit code 1 when one of them died."""
    from codecfake.manifests.errors import CodecfakeError

    def run_blocks(job: ResynthesisJob, blocks: Sequence[ShardBlock], monitor: Monitor) -> list[str]:
        started = {
            _start(job, blocks[first::count], monitor): first for first in range(min(count, len(blocks)))
        }
        codes = {first: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, first in started.items()}
        return [f"process {first} ended with {code}" for first, code in codes.items() if code]

    try:
        build(make_config(settings), Monitor(), run_blocks)
    except CodecfakeError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _start(job: ResynthesisJob, blocks: Sequence[ShardBlock], monitor: Monitor) -> int:
    if pid := os.fork():
        return pid
    code = 1
    try:
        run_named_blocks(job.config.out, [block.name for block in blocks], job.roots, monitor)
        code = 0
    finally:
        os._exit(code)
