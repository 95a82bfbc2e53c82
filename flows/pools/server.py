"""`codecfake server`: the Prefect server of a pool, on PostgreSQL, until it is told to stop."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from codecfake.flows.pools.settings import AUTHORIZATION, SERVER_AUTHORIZATION, server_variables
from codecfake.manifests.errors import CodecfakeError

EXAMPLE = "codecfake server --database postgresql+asyncpg://USER:PASSWORD@HOST:5432/prefect"
_LOOPBACKS = ("127.0.0.1", "::1", "localhost")


def run_server(database: str, host: str, port: int, say: Callable[[str], None]) -> None:
    """Be the server; comes back after Ctrl-C or SIGTERM.

    Args:
        database: URL of a PostgreSQL database; its tables are made or brought up to date.
        host: Address to listen on.
        port: Port to listen on.
        say: Told where it listens.

    Raises:
        CodecfakeError: If the database is of another kind or does not answer, or the port is taken.
    """
    url = postgres_url(database)
    check_database(url)
    variables = server_variables(url, host, port)
    os.environ.update(variables)
    listener = _listen(host, port)
    address = variables["PREFECT_SERVER_UI_API_URL"]
    say(
        f"Prefect server at {address.removesuffix('/api')}; workers and builds need PREFECT_API_URL={address}"
    )
    if host not in _LOOPBACKS and not os.environ.get(SERVER_AUTHORIZATION):
        say(
            f"Whoever reaches {host}:{port} can run commands on the workers. Keep it inside a trusted network, or set "
            f"{SERVER_AUTHORIZATION}=user:password here and {AUTHORIZATION} to the same on the others."
        )
    with listener, suppress(KeyboardInterrupt):
        import uvicorn
        from prefect.server.api.server import create_app

        config = uvicorn.Config(create_app(final=True), log_level="warning", timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[listener])


def postgres_url(database: str) -> str:
    """Bring the URL of a database into the form that Prefect takes.

    Raises:
        CodecfakeError: If it is none of PostgreSQL.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(database)
    except ArgumentError as error:
        raise CodecfakeError("that is no URL of a database", next_step=EXAMPLE) from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise CodecfakeError(
            f"a server for several workers needs PostgreSQL, not {url.get_backend_name()}",
            cause="SQLite lets one program write at a time, and workers then get errors instead of answers",
            next_step=EXAMPLE,
        )
    return url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def check_database(url: str) -> None:
    """Check that a database lets us in.

    Raises:
        CodecfakeError: If it does not.
    """
    import asyncio

    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.ext.asyncio import create_async_engine

    async def connect() -> None:
        engine = create_async_engine(url, connect_args={"timeout": 10})
        try:
            async with engine.connect():
                pass
        finally:
            await engine.dispose()

    try:
        asyncio.run(connect())
    except (OSError, SQLAlchemyError, TimeoutError) as error:
        shown = make_url(url).render_as_string(hide_password=True)
        raise CodecfakeError(
            f"the database {shown} does not let us in: {str(error).splitlines()[0]}",
            cause="PostgreSQL is not running there, the password is another one, or the database was not created",
            next_step="check it with: psql, and create the database with: createdb prefect",
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise CodecfakeError(
            f"the server cannot listen on {host}:{port}: {error.strerror}",
            cause="another server has that port, or the address is not one of this machine",
            next_step="give another --port or --host",
        ) from error
