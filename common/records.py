"""Conversion of dataclasses to the content of YAML or JSON files, and back with type checks; reading YAML."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import yaml

from common.errors import first_line, nearest

Record = TypeVar("Record")


def parse_yaml(text: str) -> Any:
    """The content of a YAML document.

    :raises yaml.YAMLError: for any text that is none. PyYAML itself ends values such as ``!!float many``, ``!!int ''``,
        ``!!bool x`` or ``!!timestamp x``, and deep nesting, in other errors of Python's.
    """
    try:
        return yaml.safe_load(text)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise yaml.YAMLError(first_line(error)) from error


def plain(value: Any) -> Any:
    """A dataclass, with nested ones, as dictionaries, lists, numbers and strings."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def from_plain(kind: type[Record], content: Any) -> Record:
    """A dataclass from the result of ``plain``.

    :raises ValueError: for a field that is missing, unknown, or of another type; the message has its name
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
        return _one_of(arguments, content, where)
    if kind is type(None) and content is None:
        return None
    if origin is tuple and isinstance(content, list | tuple):
        if arguments[-1] is not Ellipsis:
            if len(content) != len(arguments):
                raise ValueError(f"{where or 'the content'} cannot be {content!r}")
            parts = zip(arguments, content, strict=True)
            return tuple(_structure(kind, part, f"{where}[{index}]") for index, (kind, part) in enumerate(parts))
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


def _one_of(kinds: tuple[Any, ...], content: Any, where: str) -> Any:
    """The content as the first type that accepts it. None is tried first; an error is that of the last type."""
    *others, last = sorted(kinds, key=lambda kind: kind is not type(None))
    for kind in others:
        with contextlib.suppress(ValueError):
            return _structure(kind, content, where)
    return _structure(last, content, where)


def difference(before: Any, now: Any, may_change: Collection[str]) -> str | None:
    """The first difference between two dataclasses of one type, such as ``noise.schedule = linear, not cosine``.

    :param may_change: dotted names of fields to ignore, with all their fields
    :return: None if they are equal
    """
    return _difference(plain(before), plain(now), may_change, "")


def _difference(before: Any, now: Any, may_change: Collection[str], where: str) -> str | None:
    if before == now or where in may_change:
        return None
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return f"{where} = {before}, not {now}"
    prefix = f"{where}." if where else ""
    for name in dict.fromkeys((*before, *now)):
        found = _difference(before.get(name), now.get(name), may_change, f"{prefix}{name}")
        if found:
            return found
    return None


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
