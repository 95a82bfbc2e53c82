"""`server`, `deploy` and `worker`: what a build on several machines needs to run beside it."""

from typing import Annotated

import typer

from codecfake.flows.prefect_files import away_from_here
from codecfake.flows.server import LOOPBACK

Pool = Annotated[str, typer.Option(help="Name of the work pool.")]


def server(
    database: Annotated[
        str,
        typer.Option(
            help="URL of a PostgreSQL database: postgresql+asyncpg://USER:PASSWORD@HOST:5432/prefect",
            envvar="PREFECT_SERVER_DATABASE_CONNECTION_URL",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = LOOPBACK,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 4200,
) -> None:
    """Run the Prefect server that workers and builds meet at, until Ctrl-C."""
    from codecfake.flows.pools.server import run_server
    from codecfake.flows.summaries import say

    with away_from_here():
        run_server(database, host, port, say)


def deploy(pool: Pool = "gpu") -> None:
    """Register the work pool, the flows that its workers run, and the watch for lost ones; may be repeated."""
    from codecfake.flows.pools.settings import use_pool_server
    from codecfake.flows.pools.versions import check_versions

    check_versions(use_pool_server())
    with away_from_here():
        from codecfake.flows.pools.deploy import register

        for name in register(pool):
            typer.echo(name)


def worker(
    pool: Pool = "gpu",
    gpus: Annotated[
        str | None,
        typer.Option(
            help="GPUs to work on, e.g. 0,1: one flow run each.", show_default="all; without any, the CPU"
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, help="Flow runs at a time on the CPU, instead of GPUs.", show_default=False),
    ] = None,
) -> None:
    """Work for a pool with this machine until Ctrl-C or SIGTERM: one flow run per GPU at a time."""
    from codecfake.flows.pools.places import find_places
    from codecfake.flows.pools.settings import use_pool_server
    from codecfake.flows.pools.versions import check_versions
    from codecfake.flows.pools.worker import work
    from codecfake.flows.summaries import say

    if gpus is not None and processes is not None:
        raise typer.BadParameter("name GPUs or a number of processes, not both", param_hint="--processes")
    api_url = use_pool_server()
    check_versions(api_url)
    with away_from_here():
        work(pool, find_places(gpus, processes), api_url, say)
