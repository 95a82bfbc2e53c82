"""A build on a work pool: chunks of blocks as runs of a deployment, followed until their shards are published.

Prefect hands the chunks to workers; what is done is told by the published shards alone. A chunk that was lost, with
its worker, its machine or its network, is submitted again: noticed by the state that Prefect gives it, or by a worker
that has given no sign of life.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, WorkerFilter
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling, Crashed

from codecfake.flows.pools.beats import BeatWatch
from codecfake.flows.pools.chunks import ChunkPlan
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.build import LISTING_SECONDS, RunBlocks, remove_drafts
from codecfake.pipeline.monitor import Monitor, Stopped
from codecfake.pipeline.provenance import codecfake_version
from codecfake.pipeline.resynthesis_job import ResynthesisJob
from codecfake.pipeline.run_store import pull_shards
from codecfake.pipeline.shard_store import is_published
from codecfake.pipeline.shards import ShardBlock

DEPLOYMENT = "resynthesize-blocks"
TRIES = 3
POLL_SECONDS = 2.0
QUEUED_PER_WORKER = 2
"""Chunks submitted per worker: one that runs and one that waits, so that no worker is ever idle."""
PENDING_SECONDS = 90.0
"""For a worker from taking a chunk to running it; one that takes longer is gone."""
PAGE = 200
"""Runs that the server gives in one answer."""
SERVER_AWAY_SECONDS = 600.0
"""For how long a server or its database may be away: workers go on with what they have."""

Answer = TypeVar("Answer")


def run_on_pool(pool: str) -> RunBlocks:
    """Work through blocks on the workers of a pool, from within a flow."""

    def run(job: ResynthesisJob, blocks: Sequence[ShardBlock], monitor: Monitor) -> list[str]:
        return _FanOut(pool, job, blocks, monitor).run()

    return run


@dataclass
class _Chunk:
    """Blocks that were submitted together."""

    blocks: list[ShardBlock]
    todo: set[tuple[str, str]]
    """Codec and id of the shards that are not published."""
    pending_since: float | None = None
    completed_since: float | None = None


class _FanOut:
    def __init__(
        self, pool: str, job: ResynthesisJob, blocks: Sequence[ShardBlock], monitor: Monitor
    ) -> None:
        self._pool, self._job, self._monitor = pool, job, monitor
        self._run_dir = job.config.out
        self._store = job.config.store
        self._plan = ChunkPlan(self._run_dir, blocks)
        self._seconds = {(shard.codec, shard.id): shard.seconds for block in blocks for shard in block.shards}
        self._tries: Counter[str] = Counter()
        self._submitted = 0
        self._live: dict[UUID, _Chunk] = {}
        self._failures: list[str] = []
        self._beats = BeatWatch(self._run_dir)
        self._client = get_client(sync_client=True)
        # Chunks of an earlier life of this build are found by it.
        self._tag = f"run:{hashlib.sha256(str(self._run_dir).encode()).hexdigest()[:16]}"

    def run(self) -> list[str]:
        """Submit, follow and submit again, until every block is published or has had its tries."""
        with self._client:
            self._refuse_missing_deployment()
            self._end_earlier_chunks()
            try:
                while self._plan or self._live:
                    self._monitor.raise_if_stopped()
                    self._submit()
                    self._follow()
                    self._monitor.stop.wait(POLL_SECONDS)
            except BaseException:
                self._monitor.stop.set()  # from here on nobody waits for a server that is away
                with suppress(Stopped):
                    self._cancel(self._live_runs())
                raise
        # Nobody works now but workers that were given up, whose shards are published.
        remove_drafts(self._run_dir)
        self._beats.clear()
        return self._failures

    def _submit(self) -> None:
        workers = self._workers()
        while self._plan and len(self._live) < QUEUED_PER_WORKER * max(1, workers):
            blocks = self._plan.next_chunk(workers)
            todo = {
                (shard.codec, shard.id)
                for block in blocks
                for shard in block.shards
                if not is_published(self._run_dir, shard.codec, shard.id)
            }
            self._submitted += 1
            label = blocks[0].name + (f" and {len(blocks) - 1} more" if len(blocks) > 1 else "")
            run = self._patiently(self._run_deployment, blocks, label, f"{time.time_ns()}-{self._submitted}")
            self._live[run.id] = _Chunk(blocks, todo)

    def _run_deployment(self, blocks: list[ShardBlock], label: str, key: str) -> Any:
        parameters = {
            "run_dir": str(self._run_dir),
            "blocks": [block.name for block in blocks],
            "roots": {corpus: str(root) for corpus, root in self._job.roots.items()},
            "version": codecfake_version(),
            "label": label,
            "store": self._store,
        }
        return run_deployment(
            f"{DEPLOYMENT}/{self._pool}",
            parameters=parameters,
            timeout=0,
            flow_run_name=label,
            tags=[self._tag],
            idempotency_key=f"{self._tag}-{key}",
        )

    def _follow(self) -> None:
        """Count what was published since the last look, and deal with chunks that ended."""
        runs = self._live_runs()
        # Looked at after the states: what a completed run published is seen.
        if self._store:
            pull_shards(self._store, self._run_dir)
        for chunk in self._live.values():
            self._count_published(chunk)
        for run_id in self._live.keys() - {run.id for run in runs}:
            self._end(run_id, "somebody deleted its run from the Prefect server")
        for run in runs:
            chunk = self._live[run.id]
            if run.state.is_completed() and self._may_still_appear(chunk):
                continue
            if run.state.is_final():
                self._end(run.id, f"{run.state.name}: {run.state.message or 'no message'}")
            elif not chunk.todo:
                continue  # its process is about to end
            elif self._is_silent(run) or self._hangs(run, chunk):
                self._patiently(
                    self._client.set_flow_run_state,
                    run.id,
                    Crashed(message="its worker gave no sign of life"),
                    force=True,
                )
                self._end(run.id, "its worker gave no sign of life")

    def _may_still_appear(self, chunk: _Chunk) -> bool:
        """Whether shards that a worker says it published may be hidden by an old listing of a network file system."""
        chunk.completed_since = chunk.completed_since or time.monotonic()
        return bool(chunk.todo) and time.monotonic() - chunk.completed_since < LISTING_SECONDS

    def _is_silent(self, run: Any) -> bool:
        """Whether a worker shows no life in the run folder; with a store it has another, and Prefect alone tells."""
        return not self._store and run.state.is_running() and self._beats.is_lost(str(run.id))

    def _hangs(self, run: Any, chunk: _Chunk) -> bool:
        """Whether a worker took a chunk long ago and never came to run it."""
        if not run.state.is_pending():
            chunk.pending_since = None
            return False
        chunk.pending_since = chunk.pending_since or time.monotonic()
        return time.monotonic() - chunk.pending_since > PENDING_SECONDS

    def _count_published(self, chunk: _Chunk) -> None:
        for shard in sorted(chunk.todo):
            if is_published(self._run_dir, *shard):
                chunk.todo.discard(shard)
                self._monitor.advance(self._seconds[shard])
                self._plan.note_published(*shard)

    def _end(self, run_id: UUID, how: str) -> None:
        chunk = self._live.pop(run_id)
        self._beats.forget(str(run_id))
        left = [
            block
            for block in chunk.blocks
            if any((shard.codec, shard.id) in chunk.todo for shard in block.shards)
        ]
        for block in left:
            self._tries[block.name] += 1
            if self._tries[block.name] < TRIES:
                self._monitor.say(f"{block.name} is given to a worker again: {how}")
                self._plan.put_back([block])
            else:
                self._failures.append(f"{block.name}, tried {TRIES} times: {how}")

    def _workers(self) -> int:
        # Those that were stopped stay in the server's list, and would fill its answer.
        online = WorkerFilter(status={"any_": ["ONLINE"]})
        return len(self._patiently(self._client.read_workers_for_work_pool, self._pool, online, limit=PAGE))

    def _refuse_missing_deployment(self) -> None:
        try:
            self._patiently(self._client.read_deployment_by_name, f"{DEPLOYMENT}/{self._pool}")
        except ObjectNotFound as error:
            raise CodecfakeError(
                f"the Prefect server knows no work pool {self._pool!r} with our flows",
                next_step=f"codecfake deploy --pool {self._pool}",
            ) from error
        if not self._workers():
            self._monitor.say(
                f"No worker of pool {self._pool} is online yet; start one: codecfake worker --pool {self._pool}"
            )

    def _end_earlier_chunks(self) -> None:
        """Cancel what a build that was killed left behind, and wait until it is gone."""
        unfinished = FlowRunFilter(
            tags={"all_": [self._tag]},
            state={"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING"]}},
        )
        while runs := self._patiently(self._client.read_flow_runs, flow_run_filter=unfinished):
            self._cancel(runs)
            for run in runs:
                if self._beats.is_lost(str(run.id)):
                    self._patiently(
                        self._client.set_flow_run_state, run.id, Crashed(message="left behind"), force=True
                    )
            if self._monitor.stop.wait(POLL_SECONDS):
                raise Stopped

    def _live_runs(self) -> list[Any]:
        ids = list(self._live)
        pages = [FlowRunFilter(id={"any_": ids[first : first + PAGE]}) for first in range(0, len(ids), PAGE)]
        return [
            run
            for page in pages
            for run in self._patiently(self._client.read_flow_runs, flow_run_filter=page, limit=PAGE)
        ]

    def _cancel(self, runs: Sequence[Any]) -> None:
        """Cancel runs: their workers end those that were begun."""
        for run in runs:
            if run.state.is_scheduled():
                self._patiently(self._client.set_flow_run_state, run.id, Cancelled())
            elif not run.state.is_final() and not run.state.is_cancelling():
                self._patiently(self._client.set_flow_run_state, run.id, Cancelling())

    def _patiently(self, call: Callable[..., Answer], *arguments: Any, **named: Any) -> Answer:
        """Ask the server; while it or its database is away, wait and ask again."""
        began = time.monotonic()
        said = False
        while True:
            try:
                return call(*arguments, **named)
            except (httpx.TransportError, PrefectHTTPStatusError) as error:
                status = error.response.status_code if isinstance(error, PrefectHTTPStatusError) else 503
                if status < 500 or time.monotonic() - began > SERVER_AWAY_SECONDS:
                    raise
                if not said:
                    self._monitor.say(f"The Prefect server does not answer ({error}); waiting for it.")
                    said = True
            if self._monitor.stop.wait(POLL_SECONDS):
                raise Stopped
