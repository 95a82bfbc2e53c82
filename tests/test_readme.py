"""The commands that the README and the guides show exist, with the options they are shown with."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from codecfake.flows.cli import app
from codecfake.pipeline.config import make_config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))]
BLOCKS = [
    block for page in PAGES for block in re.findall(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
]
INLINE = [command for page in PAGES for command in re.findall(r"`(codecfake [^`]*)`", page)]


def shown_commands() -> list[str]:
    lines = [line for language, block in BLOCKS if not language for line in block.splitlines()]
    inline = [" ".join(command.split()) for command in INLINE]
    return sorted({line for line in [*lines, *inline] if line.startswith("codecfake ")})


@pytest.mark.parametrize("line", shown_commands())
def test_a_shown_command_parses(line):
    words = shlex.split(line)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words and words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    takes_arguments = any(word.startswith("-") for word in words) or len(words) > 0
    if takes_arguments:
        command.make_context(command.name, words)


def test_enough_commands_are_shown():
    assert len(shown_commands()) > 12


def test_the_shown_configuration_is_valid():
    import yaml

    (block,) = [block for language, block in BLOCKS if language == "yaml"]
    assert make_config(yaml.safe_load(block)).codecs == ("F04", "F07")
