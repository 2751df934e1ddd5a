"""Reads settings from the environment and an optional YAML file, once, and reports every problem together."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from opaa.errors import SettingsError
from opaa.settings.model import Settings, environment_name, example, yaml_path

VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
# Read by parts of the product that run before or outside the settings.
OTHER_NAMES = {"OPAA_CONFIG"}
LISTS = {"cors_origins", "egress_allow", "trusted_proxies", "allowed_hosts"}
YAML_SWITCHES = re.compile(r"^data_sources\.(confluence|email|file_system)\.(enabled|schedule)$")


class InvalidSettingsError(SettingsError):
    """All problems of one run of `load`; `problems` holds a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass
class Sources:
    """Raw values by field, where each came from, and what was wrong."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def load(environment: Mapping[str, str] | None = None, config_file: Path | None = None, **overrides: Any) -> Settings:  # noqa: ANN401
    """Settings from `overrides` (command line) over the environment over the YAML file over defaults.

    Raises InvalidSettingsError with every problem found.
    """
    environment = os.environ if environment is None else environment
    sources = read(environment, config_file)
    for name, value in overrides.items():
        if value is not None:
            sources.values[name] = value
            sources.origins[name] = "command line"
    try:
        settings = Settings(**sources.values)
    except ValidationError as error:
        sources.problems.extend(describe(error, sources.origins))
        raise InvalidSettingsError(sources.problems) from None
    if sources.problems:
        raise InvalidSettingsError(sources.problems)
    return settings


def read(environment: Mapping[str, str], config_file: Path | None = None) -> Sources:
    """Raw values from file and environment."""
    sources = Sources()
    path = config_file or (Path(environment["OPAA_CONFIG"]) if environment.get("OPAA_CONFIG") else None)
    if path is not None:
        _read_file(path, environment, sources)
    names = {environment_name(name): name for name in Settings.model_fields}
    for variable, name in names.items():
        _read_variable(variable, name, environment, sources)
    known = [*names, *(f"{variable}_FILE" for variable in names), *OTHER_NAMES]
    for variable in environment:
        if variable.startswith("OPAA_") and variable not in known:
            sources.problems.append(f"{variable} is not a setting{_nearest(variable, known)}")
    return sources


def misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    """Warnings about variables that look like a setting but are none."""
    known = [environment_name(name) for name in Settings.model_fields]
    for variable in environment:
        if variable in known or variable.startswith("OPAA_") or variable.removesuffix("_FILE") in known:
            continue
        match = difflib.get_close_matches(variable, known, 1, 0.88)
        if match and abs(len(match[0]) - len(variable)) <= 2:
            yield f"{variable} is not a setting; did you mean {match[0]}?"


def describe(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        name = str(problem["loc"][0])
        if name not in Settings.model_fields:
            yield f"{name} is not a setting"
            continue
        shown = example(name)
        origin = origins.get(name, environment_name(name))
        reason = problem["msg"].removeprefix("Value error, ")
        inside = "".join(f"{part}: " for part in problem["loc"][1:])
        suffix = f", for example {shown}" if shown else ""
        yield f"{origin}: {inside}{reason[:1].lower()}{reason[1:]}{suffix}"


def _read_variable(variable: str, name: str, environment: Mapping[str, str], sources: Sources) -> None:
    file_variable = f"{variable}_FILE"
    value = environment.get(variable)
    if path := environment.get(file_variable):
        if value:
            sources.problems.append(f"{variable} and {file_variable} are both set; keep one")
            return
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            sources.problems.append(f"{file_variable} names {path}, which cannot be read: {reason}")
            return
    if value is None or value == "":
        return
    sources.values[name] = _split(value) if name in LISTS else value
    sources.origins[name] = variable if not path else file_variable


def _split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _read_file(path: Path, environment: Mapping[str, str], sources: Sources) -> None:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        sources.problems.append(f"configuration file {path} cannot be read: {error.strerror}")
        return
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        sources.problems.append(f"configuration file {path} is not YAML: {' '.join(str(error).split())}")
        return
    if document is None:
        return
    if not isinstance(document, dict):
        sources.problems.append(f"configuration file {path} must hold sections such as `llm:`")
        return
    fields = {yaml_path(name): name for name in Settings.model_fields if yaml_path(name)}
    for key, value in _flatten(document, fields):
        name = fields.get(key)
        if name is None:
            if not YAML_SWITCHES.match(key):
                known = [path for path in fields if path]
                sources.problems.append(f"{key} in {path} is not a setting{_nearest(key, known)}")
            continue
        try:
            sources.values[name] = _expand(value, environment)
        except KeyError as error:
            sources.problems.append(f"{key} in {path} uses ${{{error.args[0]}}}, which is not set")
            continue
        if name in LISTS and isinstance(sources.values[name], str):
            sources.values[name] = _split(sources.values[name])
        sources.origins[name] = f"{key} in {path}"


def _flatten(node: Mapping[Any, Any], fields: Mapping[str | None, str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and path not in fields:
            yield from _flatten(value, fields, f"{path}.")
        else:
            yield path, value


def _expand(value: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - YAML values are of any type
    if isinstance(value, list):
        return tuple(_expand(part, environment) for part in value)
    if isinstance(value, dict):
        return {key: _expand(part, environment) for key, part in value.items()}
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = environment.get(match["name"]) or match["default"]
        if found is None:
            raise KeyError(match["name"])
        return found

    expanded = VARIABLE.sub(replace, value)
    return expanded if expanded != "" else None


def _nearest(name: str, known: list[str]) -> str:
    match = difflib.get_close_matches(name, known, 1, 0.6)
    return f"; did you mean {match[0]}?" if match else ""
