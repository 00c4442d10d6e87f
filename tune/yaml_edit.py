"""Changes values of a block in a YAML file in place: all other lines and all comments stay unchanged.

A key of the block itself gets its new value on its line. Any other key, including those merged from another block by
``<<: *anchor``, is added at the end of the block, so that the other block does not change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from common.errors import UserError


def set_values(text: str, block: str, values: Mapping[str, Any], where: str) -> str:
    """The text with other values.

    :param text: YAML with blocks at the top level and indented keys
    :param block: the block's key
    :param values: numbers, booleans or strings by key
    :param where: file and block, for the error message
    :return: the text, in which only these values have changed
    :raises UserError: when the block's layout does not allow this
    """
    before = yaml.safe_load(text)
    lines = text.splitlines(keepends=True)
    start = _find_block(lines, block, where)
    for key, value in values.items():
        end = _end_of(lines, start)
        indent = _indent(lines, start, end, where)
        place = next((k for k in range(start + 1, end) if _is_key(lines[k], key, indent)), None)
        entry = f"{indent}{key}: {as_yaml(value)}"
        if place is None:
            if not lines[end - 1].endswith("\n"):
                lines[end - 1] += "\n"
            lines.insert(end, f"{entry}\n")
            continue
        # A value may continue on further lines, which are indented deeper.
        last = place + 1
        while last < end and (not lines[last].strip() or _depth(lines[last]) > len(indent)):
            last += 1
        while not lines[last - 1].strip():
            last -= 1
        lines[place:last] = [f"{entry}{_comment(lines[last - 1])}\n"]
    after = "".join(lines)
    expected = {**before, block: {**before[block], **values}}
    if yaml.safe_load(after) != expected:
        raise UserError(f"{where} is not written so that its values can be changed in place; change them by hand")
    return after


def as_yaml(value: Any) -> str:
    """A value as YAML that loads as the same value, such as ``!!float 1e-05``."""
    if isinstance(value, float):
        text = repr(value)
        return text if isinstance(yaml.safe_load(text), float) else f"!!float {text}"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z][\w.+-]*", value) and yaml.safe_load(value) == value
        return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


def _find_block(lines: list[str], block: str, where: str) -> int:
    opening = re.compile(rf"['\"]?{re.escape(block)}['\"]?\s*:(\s*&\S+)?\s*(#.*)?$")
    found = [k for k, line in enumerate(lines) if opening.match(line.rstrip("\n"))]
    if len(found) != 1:
        raise UserError(f"{where}: the block does not stand on lines of its own; change it by hand")
    return found[0]


def _end_of(lines: list[str], start: int) -> int:
    """The line after the last line of the block; comments and empty lines before the next block belong to that."""
    end = last = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " #"):
        if lines[end].strip() and lines[end][0] == " ":
            last = end + 1
        end += 1
    return last


def _indent(lines: list[str], start: int, end: int, where: str) -> str:
    for line in lines[start + 1 : end]:
        if line.strip() and not line.lstrip().startswith("#"):
            return " " * _depth(line)
    raise UserError(f"{where}: the block is empty")


def _is_key(line: str, key: str, indent: str) -> bool:
    return re.match(rf"{indent}['\"]?{re.escape(key)}['\"]?\s*:(\s|$)", line) is not None


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _comment(line: str) -> str:
    """The comment at the end of a line with the spaces before it; a ``#`` within quotation marks is not one."""
    quoted = re.sub(r"\"[^\"]*\"|'[^']*'", lambda match: "x" * len(match[0]), line.rstrip("\n"))
    found = re.search(r"\s+#", quoted)
    return line.rstrip("\n")[found.start() :] if found else ""
