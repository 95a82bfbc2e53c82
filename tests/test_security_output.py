"""What is printed, reported and kept: nothing in it is obeyed by who reads it, and no secret is in it."""

import csv
import io
import json
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from container_files import COMPOSE_FILES, DOCKERFILES, Dockerfile, compose_services, kubernetes_objects
from run_helpers import build_here, settings

from codecfake.detector.evaluation.figures import publish_figures
from codecfake.detector.evaluation.scored_trials import ScoredTrials
from codecfake.detector.evaluation.table import Column, Table
from codecfake.flows import cli
from codecfake.flows.commands.pools import server
from codecfake.flows.pools.server import EXAMPLE, _listen
from codecfake.flows.progress import ConsoleMonitor
from codecfake.flows.summaries import say
from codecfake.flows.tables import show_json, show_table
from codecfake.manifests.errors import CodecfakeError
from codecfake.manifests.holders import Holder
from codecfake.manifests.measurements import environment, markdown_table
from codecfake.manifests.showing import for_markdown, for_terminal, without_passwords
from codecfake.pipeline.config import make_config
from codecfake.pipeline.corpora import list_corpora
from codecfake.pipeline.provenance import describe_process

CLEAR_SCREEN = "\x1b[2J"
NAME = f"p225{CLEAR_SCREEN}\r\x07[red]\u202egpj[/red][link=http://192.0.2.1]"
"""A name that clears the screen, rings, turns red, is written backwards and leads elsewhere."""
SECRET = "a-secret-that-is-nowhere"
FILLED = {
    "POSTGRES_PASSWORD": "secret",
    "PREFECT_AUTH": "user:password",
    "CORPORA": "/srv/corpora",
    "WEIGHTS": "/srv/weights",
    "RUNS": "/srv/runs",
    "CODECFAKE_USER": "1000:1000",
}


def harmless(text: str) -> bool:
    return not {"\x1b", "\r", "\x07", "\u202e"}.intersection(text)


def test_a_terminal_obeys_no_name(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    show_table(f"run {NAME}", ("file", NAME), [(NAME, 1)])
    say(f"{NAME}: 1 file")
    monitor = ConsoleMonitor()
    monitor.say(NAME)
    monitor.begin(NAME, 1, "files")
    monitor.end()
    shown = "".join(capsys.readouterr())
    assert harmless(shown)
    assert shown.count("[red]") == 7  # as it is, not as a colour
    assert for_terminal("Müller 音声\n\ttext") == "Müller 音声\n\ttext"
    assert for_terminal(os.fsdecode(b"caf\xe9")) == "caf\\udce9"


def test_neither_does_it_obey_an_error(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["codecfake", "status", f"/nowhere/{NAME}"])
    with pytest.raises(SystemExit):
        cli.main()
    error = capsys.readouterr().err
    assert "is no run folder" in error and harmless(error)


def test_json_says_the_same_and_is_obeyed_by_no_terminal(capsys: pytest.CaptureFixture):
    name = NAME + "\x9b2J" + os.fsdecode(b"caf\xe9 ") + "音声"
    show_json({"file": name})
    shown = capsys.readouterr().out
    assert harmless(shown) and "\x9b" not in shown and "音声" in shown
    assert json.loads(shown) == {"file": name}


def test_names_of_files_are_told_in_one_line(tmp_path: Path):
    folder = tmp_path / "wav48_silence_trimmed" / "p225"
    folder.mkdir(parents=True)
    (folder / "p225_001_mic1.flac").touch()
    (folder / f"x\nEverything is as it was published.{CLEAR_SCREEN}.wav").touch()
    (listing,) = list_corpora(tmp_path, None)
    told = [text for finding in listing.findings for text in finding.examples]
    assert all(text.isprintable() for text in told) and any("x\\nEverything" in text for text in told)


EVIL = "<script>alert(1)</script>|![x](http://192.0.2.1/p.png)\n\n# [a](javascript:b)"


@pytest.mark.parametrize(
    "made",
    [
        lambda: Table("", (Column("speaker", ("speaker",)),), [{"speaker": EVIL}]).to_markdown(),
        lambda: markdown_table(["speaker"], [[EVIL]]) + "\n",
    ],
)
def test_a_speaker_called_script_is_text_in_markdown(made):
    text = made()
    assert text.count("\n") == 3
    assert "<" not in text and "](" not in text.replace("\\](", "")
    assert r"\|!\[x\](http" in text


def test_latex_obeys_no_name():
    table = Table(
        r"\input{/etc/passwd}",
        (Column("speaker", ("speaker",)),),
        [{"speaker": "%\n\n\\write18{ls} $x$ & #~^_"}],
    )
    text = table.to_latex()
    assert r"\caption{\textbackslash{}input\{/etc/passwd\}}" in text
    assert r"\% \textbackslash{}write18\{ls\} \$x\$ \& \#\textasciitilde{}\textasciicircum{}\_ \\" in text


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", 'a"b,c\nd', "\t=1"])
def test_csv_files_hold_what_the_data_holds(cell: str):
    """Programs read them: a formula stays what it is, and SECURITY.md says how to open them in a spreadsheet."""
    text = Table("", (), [{"speaker": cell}]).to_csv()
    assert list(csv.DictReader(io.StringIO(text, newline=""))) == [{"speaker": cell}]


def test_a_figure_of_a_strange_condition_is_drawn_with_its_name(tmp_path: Path):
    part = ScoredTrials(r"<script>$\x{", ["a", "b"], np.array([0.0, 1.0]), np.array([0, 1]))
    publish_figures(tmp_path, [part])
    text = (tmp_path / "evaluation.scores.svg").read_text()
    assert "<script" not in text and r"&lt;script&gt;$\x{" in text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://prefect:{}@db:5432/prefect",
        "http://lab:{}@10.0.0.1:4200/api",
        "ftp://me:{}@host/folder",
        "s3://AKIA:{}/x+y@bucket/run",
        "http://:{}@host",
        "s3://key:{}@tail@bucket",
    ],
)
def test_passwords_in_addresses_are_never_shown(url: str, monkeypatch: pytest.MonkeyPatch):
    given = url.format(SECRET)
    assert SECRET not in without_passwords(f"{given} does not answer: {given}")
    for plain in (
        "abfs://container@account/x",
        "http://host:4200/api@x",
        "http://[::1]:80/a",
        "s3://b/a:b@c",
        EXAMPLE,
    ):
        assert without_passwords(plain) == plain
    monkeypatch.setattr(sys, "argv", ["codecfake", "server", "--database", given])
    kept = (describe_process()["command"], Holder.this_process().command, environment()["command"])
    assert all(SECRET not in text and "server" in text for text in kept)
    assert SECRET not in for_terminal(f"Error: {given}") + for_markdown(given)


def test_a_url_with_a_password_is_not_saved_into_a_run(tmp_path: Path):
    for setting in ("vctk", "aishell3", "store"):
        given = {"vctk": tmp_path, "out": tmp_path / "run", setting: f"ftp://me:{SECRET}@host/folder"}
        with pytest.raises(CodecfakeError, match=f"{setting}: holds a password") as caught:
            make_config(given)
        assert SECRET not in str(caught.value)


def test_secrets_of_the_environment_are_in_no_file_of_a_run(corpora, outside, tmp_path: Path, monkeypatch):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN")
    for name in (*names, "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        monkeypatch.setenv(name, f"x:{SECRET}")
    build_here(settings(corpora, outside, tmp_path / "run", limit=4, store=f"file://{tmp_path / 'store'}"))
    files = [path for folder in ("run", "store") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_the_server_of_a_pool_listens_on_this_machine_unless_told_otherwise():
    assert server.__defaults__[0] == "127.0.0.1"
    with _listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert [entry[1] for entry in entries if entry[1].endswith(f":{port:04X}") and entry[3] == "0A"] == [
            f"0100007F:{port:04X}"
        ]
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), 1).close()


def test_no_container_has_rights_that_it_does_not_need():
    images = [Dockerfile(path) for path in DOCKERFILES]
    assert [int(image["USER"]) for image in images] == [10001, 10001]
    for path in COMPOSE_FILES:
        for name, service in compose_services(path, FILLED).items():
            assert not service.get("privileged") and "docker.sock" not in yaml.safe_dump(service), name
            if name != "postgres":  # its own image starts as root and becomes the user postgres
                assert service.get("user", "10001").split(":")[0] != "0", name
                assert service["cap_drop"] == ["ALL"], name
                assert service["security_opt"] == ["no-new-privileges:true"], name
    pods = [
        thing["spec"]["template"]["spec"] for thing in kubernetes_objects() if "template" in thing["spec"]
    ]
    assert len(pods) > 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
        assert pod["automountServiceAccountToken"] is False
        assert not pod.get("hostNetwork") and not any(
            "hostPath" in volume for volume in pod.get("volumes", [])
        )
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False and rights["capabilities"] == {"drop": ["ALL"]}
