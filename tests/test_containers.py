"""The files in docker/: linted, consistent, and each of their commands parsed by the real command line."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
from container_files import (
    COMPOSE_FILES,
    DOCKER,
    DOCKERFILES,
    KUBERNETES_FILES,
    SLURM_SCRIPTS,
    Dockerfile,
    compose_services,
    compose_variables,
    example_variables,
    kubernetes_containers,
    kubernetes_objects,
    locked,
)
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from codecfake.flows.cli import app

ROOT = DOCKER.parent
BIN = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILLED = {
    "POSTGRES_PASSWORD": "secret",
    "PREFECT_AUTH": "user:password",
    "CORPORA": "/srv/corpora",
    "WEIGHTS": "/srv/weights",
    "RUNS": "/srv/runs",
    "CODECFAKE_USER": "1000:1000",
}


def findings(tool: str, *arguments: object) -> str:
    """What a linter says, nothing when it is content."""
    ended = subprocess.run([BIN / tool, *map(str, arguments)], capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr if ended.returncode else ""


def file_name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", DOCKERFILES, ids=file_name)
def test_dockerfiles_are_clean(path: Path) -> None:
    assert findings("hadolint", path) == ""


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=file_name)
def test_compose_files_fit_their_schema(path: Path, tmp_path: Path) -> None:
    assert findings("check-jsonschema", "--builtin-schema", "vendor.compose-spec", path) == ""
    misspelt = tmp_path / "compose.yml"
    misspelt.write_text(path.read_text().replace("restart:", "restarts:"))
    assert "restarts" in findings("check-jsonschema", "--builtin-schema", "vendor.compose-spec", misspelt)


@pytest.mark.parametrize("path", KUBERNETES_FILES, ids=file_name)
def test_kubernetes_files_fit_their_schemas(path: Path) -> None:
    import yaml

    for thing in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(thing, "1.34", strict=True)


def test_scripts_are_clean() -> None:
    assert findings("shellcheck", *SLURM_SCRIPTS, DOCKER / "lock.sh") == ""


@pytest.mark.parametrize("path", DOCKERFILES, ids=file_name)
def test_images_have_pinned_bases_a_first_process_and_a_user_without_rights(path: Path) -> None:
    image = Dockerfile(path)
    assert len(set(image.bases)) == 1
    assert any(part.isdigit() for part in image.bases[0].rpartition(":")[2])
    assert int(image["USER"]) > 0
    assert image.command("ENTRYPOINT") == ["tini", "--"]
    pool = image.command("CMD")[-1]
    assert image.command("HEALTHCHECK") == ["python", "/opt/codecfake/healthcheck.py", "worker", pool]
    assert "COPY docker/healthcheck.py /opt/codecfake/healthcheck.py" in path.read_text()


def test_both_images_have_the_same_environment() -> None:
    cpu, gpu = (Dockerfile(path).environment for path in DOCKERFILES)
    assert cpu == gpu
    assert cpu["DO_NOT_TRACK"] == "1"


def test_the_build_context_has_what_is_installed_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    packages = {folder.split("/")[0] for folder in PROJECT["tool"]["setuptools"]["package-dir"].values()}
    metadata = {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    copied = {
        value.split()[0]
        for path in DOCKERFILES
        for value in Dockerfile(path).values("COPY")
        if value.startswith("docker/")
    }
    assert "*" in lines
    assert allowed == packages | metadata | copied


def test_every_package_gets_into_the_images() -> None:
    declared = set(PROJECT["tool"]["setuptools"]["package-dir"].values())
    tops = {folder.split("/")[0] for folder in declared}
    there = {
        init.parent.relative_to(ROOT).as_posix() for top in tops for init in (ROOT / top).rglob("__init__.py")
    }
    assert there == declared


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_locks_hold_every_requirement_of_the_project(kind: str) -> None:
    versions = locked(kind)
    if kind == "cpu":  # from another index
        (torch,) = [line for line in Dockerfile(DOCKER / "Dockerfile.cpu").values("RUN") if "torch==" in line]
        versions["torch"] = torch.rpartition("torch==")[2]
    project = PROJECT["project"]
    for line in project["dependencies"] + project["optional-dependencies"]["train"]:
        requirement = Requirement(line)
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{line}: {version} is locked; run docker/lock.sh"
    text = (DOCKER / f"requirements-{kind}.lock").read_text()
    assert text.count("--hash=sha256:") >= len(locked(kind)) > 100


def test_locks_differ_by_cuda_alone() -> None:
    cpu, gpu = locked("cpu"), locked("gpu")
    assert cpu.items() <= gpu.items()
    more = gpu.keys() - cpu.keys() - {"torch", "triton"}
    assert all(name.startswith(("nvidia-", "cuda-")) for name in more)
    assert f"torch=={gpu['torch']}" in (DOCKER / "Dockerfile.cpu").read_text()
    toolkit = gpu["nvidia-cuda-runtime"].split(".")[:2]
    (base,) = set(Dockerfile(DOCKER / "Dockerfile.gpu").bases)
    assert base.partition(":")[2].split(".")[:2] == toolkit


def test_secrets_have_no_default_and_every_variable_is_explained() -> None:
    used = [compose_variables(path) for path in COMPOSE_FILES]
    example = example_variables()
    assert {name for variables in used for name in variables} | {"COMPOSE_PROFILES"} == example.keys()
    must = {name for variables in used for name, operator in variables.items() if operator == "?"}
    assert must == FILLED.keys()
    assert not any(example[name] for name in ("POSTGRES_PASSWORD", "PREFECT_AUTH"))
    with pytest.raises(KeyError, match="PREFECT_AUTH"):
        compose_services(COMPOSE_FILES[0], FILLED | {"PREFECT_AUTH": ""})


def test_nothing_is_reachable_from_other_machines_unless_asked_for() -> None:
    services = compose_services(COMPOSE_FILES[0], FILLED)
    assert [service["ports"] for service in services.values() if "ports" in service] == [
        ["127.0.0.1:4200:4200"]
    ]
    assert all(
        thing["spec"].get("type", "ClusterIP") == "ClusterIP"
        for thing in kubernetes_objects()
        if thing["kind"] == "Service"
    )


def test_workers_get_gpus_and_the_same_folders_everywhere() -> None:
    gpu_worker = compose_services(COMPOSE_FILES[0], FILLED)["gpu-worker"]
    (devices,) = gpu_worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    pod = kubernetes_containers()["worker"]
    assert pod["resources"]["limits"]["nvidia.com/gpu"] == 1
    mounts = {volume["target"]: volume.get("read_only", False) for volume in gpu_worker["volumes"]}
    assert mounts == {"/corpora": True, "/weights": False, "/runs": False}
    in_pod = {mount["mountPath"]: mount.get("readOnly", False) for mount in pod["volumeMounts"]}
    assert mounts.items() <= in_pod.items()


def test_compose_and_kubernetes_run_the_same_commands_in_the_same_environment() -> None:
    services, pods = compose_services(COMPOSE_FILES[0], FILLED), kubernetes_containers()
    for service, pod in {"server": "server", "deploy": "deploy", "gpu-worker": "worker"}.items():
        assert services[service]["command"] == pods[pod]["args"]
        names = {variable["name"] for variable in pods[pod]["env"]}
        for_compose_alone = {"PREFECT_API_URL"} if service == "server" else set()
        assert services[service]["environment"].keys() - for_compose_alone == names - {"POSTGRES_PASSWORD"}


def documented_commands() -> list[str]:
    """Command lines of docker/README.md that run ``codecfake``, here or in a container."""
    lines = (DOCKER / "README.md").read_text().replace("\\\n", " ").splitlines()
    return [
        line.partition(" --rm ")[2] or line
        for line in lines
        if re.match(r"codecfake |.* --rm codecfake ", line)
    ]


def codecfake_commands() -> dict[str, list[str]]:
    """Every command line of the files that begins with ``codecfake``."""
    found = {path.name: Dockerfile(path).command("CMD") for path in DOCKERFILES}
    found |= {
        f"service {name}": service["command"]
        for name, service in compose_services(COMPOSE_FILES[0], FILLED).items()
        if "command" in service
    }
    found |= {f"pod {name}": container.get("args", []) for name, container in kubernetes_containers().items()}
    found |= {line: shlex.split(line, comments=True) for line in documented_commands()}
    return {where: words for where, words in found.items() if words[:1] == ["codecfake"]}


@pytest.mark.parametrize("where", codecfake_commands())
def test_the_command_line_takes_every_command(where: str) -> None:
    answer = CliRunner().invoke(app, [*codecfake_commands()[where][1:], "--help"])
    assert answer.exit_code == 0, answer.output


SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""


def run_batch_script(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    """Run a Slurm script where ``srun`` starts one task here, and no server answers."""
    srun = folder / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(SRUN)
    srun.chmod(0o755)
    example = (DOCKER / "slurm" / "environment.example").read_text()
    (folder / "environment").write_text(
        example.replace("/shared/codecfake/bin", str(BIN)).replace("192.0.2.10:4200", "127.0.0.1:9")
    )
    variables = {
        "PATH": f"{srun.parent}:{os.environ['PATH']}",
        "CODECFAKE_ENVIRONMENT": str(folder / "environment"),
        "SLURM_JOB_ID": "1",
        "SLURM_CPUS_PER_TASK": "4",
        "HOME": str(folder),
    }
    command = ["bash", DOCKER / "slurm" / script, *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=120)


def test_a_slurm_worker_reaches_for_the_server(tmp_path: Path) -> None:
    ended = run_batch_script("workers.sbatch", folder=tmp_path)
    assert ended.returncode == 1
    assert "the Prefect server at http://127.0.0.1:9/api does not answer" in ended.stderr


def test_a_slurm_build_takes_the_options_of_build(tmp_path: Path) -> None:
    ended = run_batch_script("build.sbatch", "--help", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "--on" in ended.stdout
