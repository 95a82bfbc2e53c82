"""One build at a time in a run folder, whichever machine it runs on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.leases import lease_holder
from codecfake.manifests.locks import sole_holder

LOCK = ".lock"


@contextmanager
def run_lock(run_dir: Path, on_loss: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the run folder while the block runs; a process that dies, however it dies, holds it no longer.

    Args:
        run_dir: The run folder; created when absent.
        on_loss: See `sole_holder`.

    Raises:
        CodecfakeError: If another process holds it; the message says which. Or if the folder is a file.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise CodecfakeError(
            f"{run_dir} is no folder: it is a file, or lies below one", cause="the path is mistyped"
        ) from error

    def refusal() -> CodecfakeError:
        holder = lease_holder(run_dir / LOCK) or "its identity is not written yet"
        return CodecfakeError(
            f"another process works on {run_dir}: {holder}",
            next_step=f"wait for it and look at its progress: codecfake status {run_dir}",
        )

    with sole_holder(run_dir / LOCK, refusal, on_loss):
        yield
