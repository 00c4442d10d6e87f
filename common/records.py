"""Frozen dataclasses from what YAML or JSON holds, with every value's type checked."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from common.errors import nearest

Record = TypeVar("Record")


def plain(value: Any) -> Any:
    """A dataclass, and all that is in it, as mappings, lists, numbers and words."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def from_plain(kind: type[Record], content: Any) -> Record:
    """A dataclass from what ``plain`` made of it.

    :raises ValueError: for a field that is missing, unknown, or of another type; its name is in the message
    """
    result: Record = _structure(kind, content, "")
    return result


def _structure(kind: Any, content: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return content
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, content, where)
    if origin in (types.UnionType, typing.Union):
        if content is None and type(None) in arguments:
            return None
        (only,) = [argument for argument in arguments if argument is not type(None)]
        return _structure(only, content, where)
    if origin is tuple and isinstance(content, list | tuple):
        return tuple(_structure(arguments[0], part, f"{where}[{index}]") for index, part in enumerate(content))
    if origin is dict and isinstance(content, dict):
        return {key: _structure(arguments[1], part, f"{where}.{key}") for key, part in content.items()}
    if origin is typing.Literal and content in arguments:
        return content
    if kind is float and type(content) is int:
        return float(content)
    if isinstance(kind, type) and type(content) is kind:
        return content
    raise ValueError(f"{where or 'the content'} cannot be {content!r}")


def _record(kind: type[Any], content: Any, where: str) -> Any:
    if not isinstance(content, dict):
        raise ValueError(f"{where or 'the content'} cannot be {content!r}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    prefix = f"{where}." if where else ""
    for name in content:
        if name not in fields:
            raise ValueError(f"unknown {prefix}{name}{nearest(str(name), fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in content and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{prefix}{missing[0]} is missing")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _structure(hints[name], part, f"{prefix}{name}") for name, part in content.items()})
