"""Flow runs whose process is gone and could not say so itself."""

from collections.abc import Sequence
from contextlib import suppress

from codecfake.flows.pools.versions import server_answers


def report_crashed(flow_runs: Sequence[str], api_url: str) -> None:
    """Close flow runs that are still open at the server.

    When the server does not answer, its own watch for lost runs finds them later.
    """
    if not flow_runs or not server_answers(api_url):
        return
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectException
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
    from prefect.states import Crashed

    with (
        suppress(httpx.HTTPError, PrefectException),
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}),
        get_client(sync_client=True) as client,
    ):
        for flow_run in flow_runs:
            if not client.read_flow_run(flow_run).state.is_final():
                client.set_flow_run_state(flow_run, Crashed(message="Its worker ended."))
