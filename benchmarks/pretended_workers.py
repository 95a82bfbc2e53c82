"""Workers that talk to the Prefect server as real ones do, and publish records of shards instead of shards."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

import httpx

from codecfake.flows.pools.beats import beating
from codecfake.pipeline.build import plan_shards
from codecfake.pipeline.config import saved_config
from codecfake.pipeline.shard_store import shard_path
from codecfake.pipeline.source import read_source_table

QUERY_SECONDS = 5.0
BEAT_SECONDS = 30.0
TRIES = 7
LOG_LINES = 12
"""Of a chunk, as real ones write them."""


class PretendedWorkers:
    """Some workers, one thread each, that work from the start of the block to its end.

    Args:
        api_url: Of the server.
        pool: Work pool to take chunks from.
        count: Number of workers.
        speed: Seconds of audio per second of work.
        compression: Seconds of work that pass in one second.
    """

    def __init__(self, api_url: str, pool: str, count: int, speed: float, compression: float) -> None:
        self._url, self._pool, self._speed, self._compression = api_url, pool, speed, compression
        self._threads = [Thread(target=self._work, args=(f"pretended-{number}",)) for number in range(count)]
        self._ended, self._lock = Event(), Lock()
        self._seconds: dict[str, float] = {}
        self.chunks, self.requests = 0, 0
        self.work_seconds = 0.0
        """Before compression."""
        self.gaps: list[float] = []
        """Seconds for which a worker waited for its next chunk."""

    def __enter__(self) -> "PretendedWorkers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _work(self, name: str) -> None:
        idle_since = None
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._ended.is_set():
                self._ask(client, f"/work_pools/{self._pool}/workers/heartbeat", {"name": name})
                body = {"scheduled_before": None}
                waiting = self._ask(client, f"/work_pools/{self._pool}/get_scheduled_flow_runs", body)
                chunk = next(
                    (one["flow_run"] for one in waiting if self._take(client, one["flow_run"])), None
                )
                if chunk is None:
                    self._ended.wait(QUERY_SECONDS)
                    continue
                if idle_since:
                    self.gaps.append(time.monotonic() - idle_since)
                self._run(client, chunk)
                idle_since = time.monotonic()

    def _take(self, client: httpx.Client, chunk: dict[str, Any]) -> bool:
        return self._set_state(client, chunk, "PENDING") == "ACCEPT"

    def _run(self, client: httpx.Client, chunk: dict[str, Any]) -> None:
        """What a flow process asks and tells, and what it publishes."""
        self._ask(client, f"/flow_runs/{chunk['id']}")
        self._ask(client, f"/deployments/{chunk['deployment_id']}")
        self._set_state(client, chunk, "RUNNING")
        run_dir = Path(chunk["parameters"]["run_dir"])
        with beating(run_dir, chunk["id"]):
            for block in chunk["parameters"]["blocks"]:
                codecs, _, shard_id = block.partition("/")
                for codec in codecs.split("+"):
                    self._publish(client, chunk, run_dir, codec, shard_id)
        lines = [
            {"name": "prefect.flow_runs", "level": 20, "message": "x" * 80, "flow_run_id": chunk["id"]}
            | {"timestamp": _now()}
            for _ in range(LOG_LINES)
        ]
        self._ask(client, "/logs/", lines)
        self._set_state(client, chunk, "COMPLETED")
        with self._lock:
            self.chunks += 1

    def _publish(
        self, client: httpx.Client, chunk: dict[str, Any], run_dir: Path, codec: str, shard_id: str
    ) -> None:
        audio = self._audio_seconds(run_dir, shard_id)
        work = audio / self._speed
        beats = int(work / BEAT_SECONDS)
        for _ in range(beats):
            time.sleep(BEAT_SECONDS / self._compression)
            self._ask(client, "/events", [_heartbeat(chunk)])
        time.sleep((work - beats * BEAT_SECONDS) / self._compression)
        folder = shard_path(run_dir, codec, shard_id)
        folder.mkdir(parents=True)
        record = {"codec": codec, "shard": shard_id, "source_seconds": audio, "wall_seconds": work}
        (folder / "shard.json").write_text(json.dumps(record))
        with self._lock:
            self.work_seconds += work

    def _audio_seconds(self, run_dir: Path, shard_id: str) -> float:
        """Of a shard; every codec has the same."""
        with self._lock:
            if not self._seconds:
                source = read_source_table(run_dir / "source.parquet")
                shards = plan_shards(source, saved_config(run_dir).codecs[:0])
                self._seconds = {shard.id: shard.seconds for shard in shards}
        return self._seconds[shard_id]

    def _set_state(self, client: httpx.Client, chunk: dict[str, Any], state: str) -> str:
        body = {"state": {"type": state}, "force": False}
        return self._ask(client, f"/flow_runs/{chunk['id']}/set_state", body)["status"]

    def _ask(self, client: httpx.Client, path: str, body: Any = None) -> Any:
        """Ask as Prefect's client does, which repeats what a busy server did not answer."""
        for attempt in range(TRIES):
            with self._lock:
                self.requests += 1
            try:
                answer = client.get(path) if body is None else client.post(path, json=body)
                answer.raise_for_status()
                break
            except (httpx.TransportError, httpx.HTTPStatusError):
                if attempt == TRIES - 1:
                    raise
                time.sleep(2**attempt)
        return answer.json() if answer.content else None


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _heartbeat(chunk: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "occurred": _now(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{chunk['id']}"},
        "related": [{"prefect.resource.id": "prefect.tag.codecfake", "prefect.resource.role": "tag"}],
    }
