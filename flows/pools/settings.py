"""What Prefect reads from the environment where a pool of workers is used: at the server, a worker, and a client."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from codecfake.flows.server import LOOPBACK, QUIET
from codecfake.manifests.errors import CodecfakeError

API_URL = "PREFECT_API_URL"
DATABASE_URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
AUTHORIZATION = "PREFECT_API_AUTH_STRING"
SERVER_AUTHORIZATION = "PREFECT_SERVER_API_AUTH_STRING"

HEARTBEAT_SECONDS = 30
"""Between two signs of life of a flow run; the least that Prefect takes."""
LOST_AFTER_SECONDS = 75
"""Without a sign of life a flow run is lost: one beat may go missing, and its block is still resubmitted in 90 s."""

_DAY = 24 * 3600
_SERVER = {
    **QUIET,
    # Events make up most of the database, and nobody looks at old ones.
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P2D",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(90 * _DAY),
    "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": f'{{"prefect.flow-run.heartbeat": {_DAY}}}',
    # PostgreSQL takes 100 connections unless told otherwise; some are left for people and backups.
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "20",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW": "40",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "30",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "10",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    # Nothing here runs by the clock, and a block that waits for a free GPU is not late.
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "3600",
}
_CLIENT = {
    **QUIET,
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    # A restart of the server or of its database takes a while; each wait is twice the last, four minutes in all.
    "PREFECT_CLIENT_MAX_RETRIES": "7",
}
_WORKER = {
    **_CLIENT,
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # what a server answers while its database is away
}


def server_variables(database: str, host: str, port: int) -> dict[str, str]:
    """Environment of a server for many workers; what the user has set stays.

    Args:
        database: URL of a PostgreSQL database, with the driver asyncpg.
        host: Address to listen on.
        port: Port to listen on.

    Raises:
        CodecfakeError: If the authorization is set to nothing, which would lock out everybody.
    """
    if os.environ.get(SERVER_AUTHORIZATION) == "":
        raise CodecfakeError(
            f"{SERVER_AUTHORIZATION} is set, but empty: the server would refuse every request",
            next_step=f"set {SERVER_AUTHORIZATION}=user:password, or unset it",
        )
    is_any = host in ("0.0.0.0", "::")  # nosec B104 # asks whether the user wants that, binds nothing
    prefect_home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    address = f"http://{socket.gethostname() if is_any else host}:{port}/api"
    defaults = {
        **_SERVER,
        "PREFECT_SERVER_UI_API_URL": address,  # by default the page calls port 4200 whatever the port is
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(prefect_home / "ui"),  # by default inside site-packages
    }
    own = f"http://{LOOPBACK if is_any else host}:{port}/api"
    return _unless_set(defaults) | {DATABASE_URL: database, API_URL: own}


def worker_variables() -> dict[str, str]:
    """Environment of a worker and of the flow runs that it starts; what the user has set stays."""
    return _unless_set(_WORKER)


def use_pool_server() -> str:
    """Set this process up as a client of the server that ``PREFECT_API_URL`` names, before Prefect is imported.

    Returns:
        The URL of the API.

    Raises:
        CodecfakeError: If no server is named.
    """
    api_url = os.environ.get(API_URL)
    if not api_url:
        raise CodecfakeError(
            f"{API_URL} names no Prefect server",
            cause="workers and those who give them work meet at one server, which each of them must be told",
            next_step=f"export {API_URL}=http://HOST:4200/api, where HOST runs codecfake server",
        )
    os.environ.update(_unless_set(_CLIENT))
    return api_url.rstrip("/")


def _unless_set(defaults: Mapping[str, str]) -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in defaults.items()}
