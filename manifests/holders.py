"""Who holds a lease: one process of one running system, told apart from all others."""

import os
import platform
import shlex
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codecfake.manifests.showing import without_passwords

ENDED_STATES = ("Z", "X", "x")
"""In ``/proc/<pid>/stat``: killed, and not yet taken note of by its parent."""


@dataclass(frozen=True)
class Holder:
    """Identity of a process, as it is written into a lease."""

    host: str
    boot: str
    """Id of the running kernel: another one after a reboot, and on every other machine."""
    pid_namespace: str
    """Containers of one machine count their processes separately."""
    pid: int
    process_start: str
    """In clock ticks since boot; tells a process from a later one with the same number."""
    started: str
    command: str
    token: str
    """Random; tells two leases of one process apart."""

    @classmethod
    def this_process(cls) -> "Holder":
        """The calling process, with a new token."""
        host, boot, pid_namespace = _this_system()
        return cls(
            host=host,
            boot=boot,
            pid_namespace=pid_namespace,
            pid=os.getpid(),
            process_start=_state_and_start(os.getpid())[1],
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            command=without_passwords(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
            token=uuid.uuid4().hex,
        )

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "Holder":
        """Take what a lease file holds.

        Raises:
            TypeError: If it is no holder.
            ValueError: If it names no process.
        """
        holder = cls(**content)
        if any(type(value) is not (int if name == "pid" else str) for name, value in vars(holder).items()):
            raise TypeError("a holder of other types")
        if not 0 < holder.pid < 1 << 31:
            raise ValueError(f"there is no process {holder.pid}")
        return holder

    @property
    def is_of_this_system(self) -> bool:
        """Whether the process numbers of the holder are ours, so that it can be looked for."""
        return (self.host, self.boot, self.pid_namespace) == _this_system()

    @property
    def is_running(self) -> bool:
        """Whether the process is there; only for a holder of this system."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it is there, and another user's
        state, start = _state_and_start(self.pid)
        return state not in ENDED_STATES and start in ("", self.process_start)

    def __str__(self) -> str:
        return f"{self.command} (process {self.pid} on {self.host}, started {self.started})"


def _this_system() -> tuple[str, str, str]:
    """Host, boot and namespace of process numbers; the last two are empty where there is no ``/proc``."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        pid_namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = pid_namespace = ""
    return platform.node(), boot, pid_namespace


def _state_and_start(pid: int) -> tuple[str, str]:
    """State and start of a process; empty where they cannot be read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().decode("utf-8", "replace")
    except OSError:
        return "", ""
    after_name = stat.rpartition(")")[2].split()
    return after_name[0], after_name[19]
