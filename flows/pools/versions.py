"""Whether the Prefect of a server goes with the one that is installed here."""

import os
from contextlib import suppress
from importlib.metadata import version

from codecfake.flows.pools.settings import AUTHORIZATION
from codecfake.manifests.errors import CodecfakeError

_SECONDS = 10.0


def check_versions(api_url: str) -> None:
    """Check that the server answers, and that its Prefect goes with the one of this process.

    Args:
        api_url: URL of the server's API.

    Raises:
        CodecfakeError: If it does not answer, refuses us, is older, or is of another minor version.
    """
    import httpx

    try:
        answer = httpx.get(f"{api_url}/admin/version", auth=_authorization(), timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CodecfakeError(
            f"the Prefect server at {api_url} does not answer: {error}",
            cause="it is not started, or a firewall, a proxy or a wrong PREFECT_API_URL stands between",
            next_step="codecfake server --database postgresql+asyncpg://USER:PASSWORD@HOST/prefect",
        ) from error
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise CodecfakeError(
            f"the Prefect server at {api_url} does not let us in",
            cause="it was started with PREFECT_SERVER_API_AUTH_STRING",
            next_step=f"export {AUTHORIZATION}=user:password, the same as the server's",
        )
    server = _version_in(answer)
    if server is None:
        raise CodecfakeError(
            f"what answers at {api_url} is no Prefect server (HTTP {answer.status_code})",
            cause="the URL lacks its ending /api, or another service has that port",
            next_step="export PREFECT_API_URL=http://HOST:4200/api",
        )
    ours = version("prefect")
    if _minor(ours) != _minor(server) or _parts(ours) > _parts(server):
        raise CodecfakeError(
            f"this machine has Prefect {ours}, the server at {api_url} has {server}",
            cause="a client may not be newer than its server, and both must have the same minor version",
            next_step=f"pip install prefect=={server} on this machine, or update the server to {ours}",
        )


def server_answers(api_url: str) -> bool:
    """Whether the server and its database are up."""
    import httpx

    with suppress(httpx.HTTPError):
        return httpx.get(f"{api_url}/ready", auth=_authorization(), timeout=_SECONDS).is_success
    return False


def _authorization() -> tuple[str, str] | None:
    user, _, password = os.environ.get(AUTHORIZATION, "").partition(":")
    return (user, password) if user else None


def _version_in(answer: "httpx.Response") -> str | None:  # noqa: F821  # imported where it is used
    with suppress(ValueError):
        found = answer.json()
        if answer.is_success and isinstance(found, str) and len(_parts(found)) >= 2:
            return found
    return None


def _parts(number: str) -> tuple[int, ...]:
    from packaging.version import InvalidVersion, Version

    with suppress(InvalidVersion):
        return Version(number).release
    return ()


def _minor(number: str) -> tuple[int, ...]:
    return _parts(number)[:2]
