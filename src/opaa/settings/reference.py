"""The reference page of all settings, made from the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from opaa.settings.model import Settings, environment_name, example, is_secret, is_used, yaml_path

HEAD = """\
# Settings

Made by `opaa config reference`; do not edit. Each setting is an environment variable, or a key of the YAML file that
`OPAA_CONFIG` or `--config` names; the environment wins. `NAME_FILE` reads the value from a file, for secrets. In the
YAML file `${VAR}` and `${VAR:-default}` stand for environment variables.

| Variable | YAML key | Default | Meaning |
|---|---|---|---|
"""


def reference() -> str:
    """Markdown: one row per setting."""
    return HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        meaning = field.description or ""
        if is_secret(name):
            meaning += " A secret: never shown."
        if shown := example(name):
            meaning += f" Example: `{shown}`."
        if not is_used(name):
            meaning += " *Accepted, not used by this version.*"
        key = f"`{yaml_path(name)}`" if yaml_path(name) else ""
        yield f"| `{environment_name(name)}` | {key} | {_default(field)} | {meaning} |\n"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "depends on the machine"
    value: Any = field.default
    match value:
        case None | ():
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case Path():
            return f"`{value}`"
        case _:
            return f"`{value}`"
