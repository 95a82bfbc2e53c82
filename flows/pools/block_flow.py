"""The flow that a worker runs: some blocks of a run, the codecs loaded once."""

from pathlib import Path

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from codecfake.flows.pools.beats import beating
from codecfake.manifests.errors import CodecfakeError
from codecfake.pipeline.monitor import Monitor
from codecfake.pipeline.object_store import located
from codecfake.pipeline.provenance import codecfake_version
from codecfake.pipeline.run_store import worker_folder
from codecfake.pipeline.worker_blocks import run_named_blocks


class _LogMonitor(Monitor):
    """Sends what there is to tell to the log that Prefect shows."""

    def say(self, text: str) -> None:
        get_run_logger().info(text)


@flow(name="resynthesize-blocks", flow_run_name="{label}")
def resynthesize_blocks(
    run_dir: str,
    blocks: list[str],
    roots: dict[str, str],
    version: str,
    label: str,
    store: str | None = None,
) -> dict[str, float]:
    """Resynthesise blocks of a run.

    Args:
        run_dir: The run folder; workers without a store see it under the same path as the build.
        blocks: Names of blocks.
        roots: Folder or URL of each corpus.
        version: That of codecfake where the build was started.
        label: What Prefect shows as the name of this run.
        store: URL that the run is shared in, instead of the run folder.

    Returns:
        Shards published, and their seconds of source audio.
    """
    if version != codecfake_version():
        raise CodecfakeError(
            f"this worker runs codecfake {codecfake_version()}, the build was started with {version}",
            next_step="install the same version on all machines, then repeat the command",
        )
    with worker_folder(Path(run_dir), store) as folder, beating(folder, str(flow_run.id)):
        report = run_named_blocks(
            folder, blocks, {corpus: located(root) for corpus, root in roots.items()}, _LogMonitor()
        )
    get_run_logger().info("Published %d shards, %.0f s of audio", report.shards, report.seconds)
    return {"shards": report.shards, "seconds": report.seconds}
