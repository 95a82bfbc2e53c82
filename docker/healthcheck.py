"""Health of a container: of a worker, that the server hears from it; of the server, that it and its database answer.

Runs every half minute: the standard library alone, which starts in a tenth of the time that Prefect's client needs.
"""

import base64
import json
import os
import socket
import sys
import urllib.request
from typing import Any

SECONDS = 8.0


def ask(path: str, question: dict[str, Any] | None = None) -> Any:
    """The server's answer to a GET, or with a question to a POST; raises OSError where there is none.

    Args:
        path: Path below ``PREFECT_API_URL``.
        question: Body of the request, sent as JSON.
    """
    request = urllib.request.Request(os.environ["PREFECT_API_URL"].rstrip("/") + path)
    if question is not None:
        request.data = json.dumps(question).encode()
        request.add_header("Content-Type", "application/json")
    if secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        request.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # nosec B310 # who runs this names the server
        return json.load(answer)


def workers_heard(pool: str) -> list[str]:
    """Names of the workers of this machine that the server counts as online.

    Args:
        pool: The work pool.
    """
    host = socket.gethostname()
    workers = ask(f"/work_pools/{pool}/workers/filter", {})
    return [worker["name"] for worker in workers if worker["status"] == "ONLINE" and host in worker["name"]]


def main(role: str, pool: str = "gpu") -> None:
    """End with code 1 and the reason, unless all is well.

    Args:
        role: ``server`` or ``worker``.
        pool: Work pool of the worker.
    """
    try:
        if role == "server":
            ask("/ready")
        elif not workers_heard(pool):
            sys.exit(f"The server hears from no worker of this machine in the pool {pool}.")
    except OSError as error:
        sys.exit(f"No answer from {os.environ['PREFECT_API_URL']}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
