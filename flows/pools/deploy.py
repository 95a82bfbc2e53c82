"""`codecfake deploy`: the work pool, what its workers can run, and the watch for lost runs, told to the server."""

from datetime import timedelta

from prefect import Flow
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectAlreadyExists
from prefect.flows import EntrypointType
from prefect.workers.process import ProcessWorker

from codecfake.flows.flows import evaluate_flow, train_flow
from codecfake.flows.pools.block_flow import resynthesize_blocks
from codecfake.flows.pools.settings import LOST_AFTER_SECONDS
from codecfake.manifests.errors import CodecfakeError

TAG = "codecfake"
"""On every deployment and so on every run of one: the watch leaves the rest of the server alone."""
WATCH = "codecfake: no sign of life"
# No build: it would take the place of a worker for as long as it waits for the others.
FLOWS = (resynthesize_blocks, train_flow, evaluate_flow)

_ALIVE = {"prefect.flow-run.heartbeat", "prefect.flow-run.Running"}
_ENDED = {
    f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelling", "Cancelled")
}


def register(pool: str) -> list[str]:
    """Make or update everything that a pool needs; may be repeated.

    Args:
        pool: Name of the work pool.

    Returns:
        What is there now, for people.

    Raises:
        CodecfakeError: If a pool of that name exists, but does not run processes.
    """
    _make_pool(pool)
    deployments = [_deploy(flow, pool) for flow in FLOWS]
    _make_watch()
    return [f"work pool {pool}", *(f"deployment {name}" for name in deployments), f"automation {WATCH}"]


def _make_pool(pool: str) -> None:
    template = ProcessWorker.get_default_base_job_template()
    wanted = WorkPoolCreate(name=pool, type=ProcessWorker.type, base_job_template=template)
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(wanted)
        except ObjectAlreadyExists:
            found = client.read_work_pool(pool).type
            if found != ProcessWorker.type:
                raise CodecfakeError(
                    f"the work pool {pool} is of type {found}, not {ProcessWorker.type}",
                    cause="somebody made it for other flows",
                    next_step="codecfake deploy --pool with another name",
                ) from None


def _deploy(flow: Flow, pool: str) -> str:
    deployment = flow.to_deployment(
        pool, work_pool_name=pool, tags=[TAG], entrypoint_type=EntrypointType.MODULE_PATH
    )
    deployment.apply()
    return deployment.full_name


def _make_watch() -> None:
    watch = Automation(
        name=WATCH,
        description=f"Marks a run of codecfake as crashed that gave no sign of life for {LOST_AFTER_SECONDS} s.",
        trigger=EventTrigger(
            # From the moment a worker took it: a worker may be lost before the run gives its first sign of life.
            after={"prefect.flow-run.Pending", *_ALIVE},
            expect=_ALIVE | _ENDED,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=LOST_AFTER_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No sign of life for {LOST_AFTER_SECONDS} s: its worker is lost.",
            )
        ],
    )
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(WATCH)
    if found:
        watch.id = found[0].id
        watch.update()
    else:
        watch.create()
