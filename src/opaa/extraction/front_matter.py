"""YAML front matter of a Markdown file → typed fields.

Scalars are typed as YAML 1.2 and JSON have them, not as YAML 1.1: `no` is a word, `12:30` is not 750, and `007` or
`4E12` stay the identifiers that they are.
"""

import re

import yaml

from opaa.extraction.port import JSON

_BLOCK = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_MAX_CHARS = 16_384
_MAX_NODES = 2_000
_MAX_DEPTH = 12
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]+\Z")
_WORDS: dict[str, JSON] = {"true": True, "false": False, "null": None, "~": None, "": None}


class FrontMatterError(ValueError):
    """The block between the `---` lines is not a YAML mapping."""


def split_front_matter(text: str) -> tuple[str | None, str]:
    """(block, rest); (None, text) when `text` does not start with a `---` line that is closed again."""
    match = _BLOCK.match(text) if text.startswith("---") else None
    # A horizontal rule at the top of a page looks the same; a field has a colon.
    if match is None or ":" not in match[1]:
        return None, text
    return match[1], text[match.end() :]


def parse_front_matter(block: str) -> tuple[dict[str, JSON], list[tuple[str, str]]]:
    """(typed fields, [(name, value as written)]).

    Raises FrontMatterError when the block is not a mapping, too large, too deep, or uses aliases to grow.
    """
    if len(block) > _MAX_CHARS or block.count("[") + block.count("{") > _MAX_NODES:
        raise FrontMatterError("it is too large")
    try:
        node = yaml.compose(block, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 2})" if where else ""
        raise FrontMatterError(f"{getattr(error, 'problem', None) or 'it is not YAML'}{line}") from error
    if not isinstance(node, yaml.MappingNode):
        raise FrontMatterError("it is not a list of fields")
    budget = [_MAX_NODES]
    fields: dict[str, JSON] = {}
    written: list[tuple[str, str]] = []
    for key, value in node.value:
        name = str(key.value).strip() if isinstance(key, yaml.ScalarNode) else ""
        if name:
            fields[name] = _value(value, budget, 0)
            written.append((name, _written(value)))
    return fields, written


def _value(node: yaml.Node, budget: list[int], depth: int) -> JSON:
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_DEPTH:
        raise FrontMatterError("it has too many or too deeply nested values")
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, budget, depth + 1) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {
            str(key.value): _value(value, budget, depth + 1)
            for key, value in node.value
            if isinstance(key, yaml.ScalarNode)
        }
    quoted = isinstance(node, yaml.ScalarNode) and bool(node.style)
    return str(node.value) if quoted else _scalar(str(node.value))


def _scalar(raw: str) -> JSON:
    if raw.lower() in _WORDS:
        return _WORDS[raw.lower()]
    if _INTEGER.match(raw):
        return int(raw)
    return float(raw) if _DECIMAL.match(raw) else raw


def _written(node: yaml.Node) -> str:
    """One line for people: lists joined by commas, mappings as `name value`. Call after `_value` accepted the node."""
    if isinstance(node, yaml.SequenceNode):
        return ", ".join(_written(item) for item in node.value)
    if isinstance(node, yaml.MappingNode):
        return ", ".join(f"{_written(key)} {_written(value)}" for key, value in node.value)
    return " ".join(str(node.value).split())
