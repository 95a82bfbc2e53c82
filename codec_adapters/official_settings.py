"""Settings that are published beside weights: read, and compared with what the network here does."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecfake.codec_adapters.errors import CodecError

_LIKELY_CAUSE = "this is the checkpoint of another codec: codecfake codecs describe NAME shows the right one"


def read_settings(path: Path) -> dict[str, Any]:
    """Read the YAML or JSON file that says how a network was built.

    Raises:
        CodecError: If it is none.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CodecError(f"{path} cannot be read ({reason}); fetch it again") from error
    if not isinstance(content, dict):
        raise CodecError(f"{path} holds no settings by name; fetch it again")
    return content


def refuse_other_settings(settings: Mapping[str, Any], supported: Mapping[str, Any], where: object) -> None:
    """Compare the settings of a published network with those that the network here has.

    Args:
        settings: By name, as published.
        supported: By name; a setting that is not among them is refused, too.
        where: File, for the message.

    Raises:
        CodecError: Naming the first setting that differs.
    """
    for name, value in settings.items():
        if name not in supported:
            raise CodecError(f"{where} sets {name} to {value!r}, which is not known here; {_LIKELY_CAUSE}")
        if value != supported[name]:
            raise CodecError(
                f"{where} sets {name} to {value!r}, but only {supported[name]!r} is supported; {_LIKELY_CAUSE}"
            )
