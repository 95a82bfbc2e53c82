"""``run.json`` of an imported run: which dataset it is, by the digests of its lists, and what is to be there."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from codecfake.manifests.atomic import publish_json
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.records import DamagedFileError, read_json
from codecfake.pipeline.provenance import describe_environment, describe_process

SAVED_AS = "run.json"
KEY = "imported"
REBUILT = "codecfake-rebuilt"
"""Name of a dataset that `codecfake build` made, as the metadata of its exports have it."""


@dataclass(frozen=True)
class ImportRecord:
    """What an imported run was made of."""

    dataset: str
    folder: str
    """Where the dataset lay."""
    licence: str
    digest: str
    """Hash of all names and labels of its lists."""
    lists: dict[str, str]
    """Sha256 of each text file that lists it."""
    utterances: int
    shards: dict[str, int]
    """Number of shards by codec; ``real`` is bona fide audio."""
    notes: list[str]
    weights: str = ""
    """With which its fakes were made: official, mini or other; empty where nothing tells."""
    licences: dict[str, str] = field(default_factory=dict)
    """That of each corpus, where they are told apart; ``licence`` names them all."""

    @property
    def is_rebuilt(self) -> bool:
        """Whether `codecfake build` made it; else others published it."""
        return self.dataset == REBUILT

    @property
    def codecs(self) -> list[str]:
        """Codecs with files, bona fide audio among them."""
        return list(self.shards)

    def planned_shards(self) -> list[tuple[str, str]]:
        """Codec and id of every shard that a whole import has."""
        return [(codec, shard_id(index)) for codec, count in self.shards.items() for index in range(count)]


def shard_id(index: int) -> str:
    """Id of the n-th shard of a codec."""
    return f"{index:05d}"


def read_import(run_dir: Path) -> ImportRecord | None:
    """What a run folder was imported from; None for one that was built, and for what is no run.

    Raises:
        DamagedFileError: If what describes the run is damaged.
    """
    path = run_dir / SAVED_AS
    if not path.is_file():
        return None
    stamp = read_json(path, {}, next_step=f"restore {path} from a backup")
    try:
        return ImportRecord(**stamp[KEY]) if KEY in stamp else None
    except TypeError as error:
        raise DamagedFileError(
            f"{path} is damaged: {error}", cause="it was changed since it was written"
        ) from error


def refuse_import(run_dir: Path) -> None:
    """Refuse to build into a run that was imported, or to retry it.

    Raises:
        CodecfakeError: If it was imported.
    """
    if record := read_import(run_dir):
        raise CodecfakeError(
            f"{run_dir} was imported from {record.dataset}, so there is nothing to build or to retry",
            cause="its audio is that of the dataset; no codec made it here",
            next_step=f"codecfake status {run_dir}; to build, give another --out",
        )


def stamp_import(run_dir: Path, record: ImportRecord) -> None:
    """Stamp a new run folder, or check that an earlier call imported the same.

    Raises:
        CodecfakeError: If the folder holds another run, or something that is no run.
    """
    if not (run_dir / SAVED_AS).is_file():
        if strangers := sorted(entry.name for entry in run_dir.iterdir() if not entry.name.startswith(".")):
            raise CodecfakeError(
                f"{run_dir} is no run folder, but holds {', '.join(strangers[:5])}",
                next_step="give a new or empty folder; nothing was written",
            )
        head = {KEY: asdict(record), "digest": record.digest}
        publish_json(
            run_dir / SAVED_AS,
            head | {"process": describe_process(), "environment": describe_environment()},
        )
        return
    present = read_import(run_dir)
    if present is None:
        raise CodecfakeError(
            f"{run_dir} was built, not imported", next_step="give a new or empty folder; nothing was written"
        )
    if (present.dataset, present.digest, present.shards) != (record.dataset, record.digest, record.shards):
        raise CodecfakeError(
            f"{run_dir} was imported from {present.dataset} with other lists than {record.folder} has now",
            cause="a label file was added or changed since, or it is another copy of the dataset",
            next_step="give a new folder; links take no room",
        )
