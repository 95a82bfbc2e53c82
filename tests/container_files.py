"""What the files in docker/ say, read as Compose, Docker and Kubernetes read them."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from dockerfile_parse import DockerfileParser

DOCKER = Path(__file__).parents[1] / "docker"
DOCKERFILES = sorted(DOCKER.glob("Dockerfile.*"))
COMPOSE_FILES = [DOCKER / "compose.yml", DOCKER / "workers.yml"]
KUBERNETES_FILES = sorted((DOCKER / "kubernetes").glob("*.yaml"))
SLURM_SCRIPTS = sorted((DOCKER / "slurm").glob("*.sbatch"))

VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<operator>[-?])(?P<rest>[^}]*))?\}")


class Dockerfile:
    """The last stage of a Dockerfile, and the bases of all of them."""

    def __init__(self, path: Path) -> None:
        parser = DockerfileParser(fileobj=path.open("rb"))
        self.bases = [base for base in parser.parent_images if base]
        self.environment = dict(parser.envs)
        last = max(step["startline"] for step in parser.structure if step["instruction"] == "FROM")
        self._all = [(step["instruction"], step["value"]) for step in parser.structure]
        self._last = {
            step["instruction"]: step["value"] for step in parser.structure if step["startline"] > last
        }

    def __getitem__(self, instruction: str) -> str:
        return self._last[instruction]

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self._all if name == instruction]

    def command(self, instruction: str) -> list[str]:
        """The JSON list of CMD, ENTRYPOINT or HEALTHCHECK."""
        text = self._last[instruction]
        return yaml.safe_load(text[text.index("[") :])


def compose_services(path: Path, variables: Mapping[str, str]) -> dict[str, dict]:
    """Services of a Compose file, with its variables filled in and what they extend; a required one must be there."""

    def value(found: re.Match) -> str:
        given = variables.get(found["name"])
        if given or found["operator"] == "-":
            return given or found["rest"]
        raise KeyError(found["name"])

    services = yaml.safe_load(VARIABLE.sub(value, path.read_text()))["services"]
    for name, service in services.items():
        if base := service.pop("extends", None):
            extended = compose_services(path.parent / base["file"], variables)[base["service"]]
            environment = extended.get("environment", {}) | service.get("environment", {})
            services[name] = extended | service | {"environment": environment}
    return services


def compose_variables(path: Path) -> dict[str, str | None]:
    """Variables of a Compose file: how each is used when it is not set, ``?`` for those that must be."""
    return {found["name"]: found["operator"] for found in VARIABLE.finditer(path.read_text())}


def example_variables() -> dict[str, str]:
    """Variables of .env.example, also those that are commented out."""
    lines = re.findall(r"^#?([A-Z_]+)=(.*)$", (DOCKER / ".env.example").read_text(), re.MULTILINE)
    return dict(lines)


def kubernetes_objects() -> list[dict]:
    return [thing for path in KUBERNETES_FILES for thing in yaml.safe_load_all(path.read_text())]


def kubernetes_containers() -> dict[str, dict]:
    """Containers of all pods, by their name."""
    pods = [
        thing["spec"]["template"]["spec"] for thing in kubernetes_objects() if "template" in thing["spec"]
    ]
    return {container["name"]: container for pod in pods for container in pod["containers"]}


def locked(kind: str) -> dict[str, str]:
    """Versions in a lock file, by normalised name."""
    text = (DOCKER / f"requirements-{kind}.lock").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", text, re.MULTILINE))
