"""Small Python expressions in a YAML file, read without executing anything.

rl-baselines3-zoo stores keyword arguments as strings such as
``"dict(net_arch=[256, 256], activation_fn=nn.ReLU)"`` and evaluates them. Here the string is parsed into a syntax tree,
and only these nodes are accepted: literals, ``dict(...)``, arithmetic on numbers, and names of classes from a few
packages.

Credits: the notation is rl-baselines3-zoo's (Raffin 2020); Python's ast module.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import torch

from common.errors import UserError, first_line, nearest
from rl.named_classes import CLASS_PACKAGES, resolve_class

# Abbreviations that are defined where rl-baselines3-zoo evaluates an expression.
_ALIASES = {
    "nn": "torch.nn",
    "th": "torch",
    "RMSpropTFLike": "stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike",
    "HerReplayBuffer": "stable_baselines3.her.her_replay_buffer.HerReplayBuffer",
}

# The accepted modules of torch, and the base class of the accepted classes of each.
_TORCH_CLASSES: dict[str, tuple[Any, type]] = {
    "torch.nn": (torch.nn, torch.nn.Module),
    "torch.optim": (torch.optim, torch.optim.Optimizer),
}

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}

# Far above any hyperparameter; against typing mistakes that would exhaust the memory or the stack.
_LONGEST_TEXT = 10_000
_LARGEST_NUMBER = 1e18


def parse_expression(text: str, where: str) -> Any:
    """The value of a small Python expression, computed without ``eval``.

    It may have numbers, strings, ``True``, ``False`` and ``None``; lists, tuples and dictionaries;
    ``dict(name=value, ...)``; ``+ - * / // **`` on numbers; ``nn.X``, ``th.nn.X``, ``torch.nn.X`` (modules),
    ``th.optim.X``, ``torch.optim.X`` (optimisers); full names of classes in `CLASS_PACKAGES`.

    :param where: file, block and key, for the error message
    :raises UserError: for anything else
    """
    if len(text) > _LONGEST_TEXT:
        raise UserError(f"{where}: the expression is longer than {_LONGEST_TEXT} characters")
    try:
        # The zoo wraps long expressions; leading spaces would be an indentation error.
        tree = ast.parse(text.strip(), mode="eval")
        return _value(tree.body, where)
    except SyntaxError as error:
        raise UserError(f"{where}: '{_short(text)}' is not an expression: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        # Raised by ast.parse for null bytes and for too deeply nested brackets.
        raise UserError(f"{where}: '{_short(text)}' is not an expression: {first_line(error)}") from error


def _value(node: ast.expr, where: str) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.List(elts=elements):
            return [_value(element, where) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, where) for element in elements)
        case ast.Dict(keys=keys, values=values):
            return _dictionary(keys, values, where)
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            if any(keyword.arg is None for keyword in keywords):
                raise UserError(f"{where}: '**' is not allowed in an expression")
            return {str(keyword.arg): _value(keyword.value, where) for keyword in keywords}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            number = _number(operand, where)
            return -number if isinstance(sign, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _arithmetic(node, _OPERATORS[type(op)], _number(left, where), _number(right, where), where)
        case ast.Name() | ast.Attribute():
            return _named_class(node, where)
    raise UserError(
        f"{where}: '{_short(ast.unparse(node))}' is not allowed in an expression;"
        " use numbers, texts, lists, dict(name=value) and names of classes such as nn.ReLU"
    )


def _dictionary(keys: list[ast.expr | None], values: list[ast.expr], where: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
            raise UserError(f"{where}: the keys of a dictionary must be texts")
        result[key.value] = _value(value, where)
    return result


def _number(node: ast.expr, where: str) -> int | float:
    value = _value(node, where)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}: '{_short(ast.unparse(node))}' is not a number")
    return value


def _arithmetic(
    node: ast.expr, operation: Callable[[Any, Any], Any], left: int | float, right: int | float, where: str
) -> int | float:
    result: Any = None
    # A power is checked before it is computed: 9**9**9 would take hours.
    if operation is not operator.pow or (abs(left) <= 1e6 and abs(right) <= 64):
        try:
            result = operation(left, right)
        except (ArithmeticError, ValueError):
            result = None
    if not isinstance(result, int | float) or not abs(result) <= _LARGEST_NUMBER:
        raise UserError(f"{where}: '{_short(ast.unparse(node))}' has no value that can be used")
    return result


def _named_class(node: ast.Name | ast.Attribute, where: str) -> type:
    written = _dotted(node)
    if written is None:
        raise UserError(f"{where}: '{_short(ast.unparse(node))}' is not allowed in an expression")
    first, _, rest = written.partition(".")
    full = _ALIASES.get(first, first) + (f".{rest}" if rest else "")
    module_name, _, name = full.rpartition(".")
    if module_name in _TORCH_CLASSES:
        module, base = _TORCH_CLASSES[module_name]
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, base):
            return found
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)]
        raise UserError(f"{where}: {module_name} has no {base.__name__.lower()} '{name}'{nearest(name, classes)}")
    if full.split(".")[0] not in CLASS_PACKAGES or not module_name:
        raise UserError(
            f"{where}: the name '{written}' is not known in an expression"
            f"{nearest(written, [*_ALIASES, 'dict'])}"
            " (known: nn.X, th.nn.X, th.optim.X and full names of classes)"
        )
    return resolve_class(full, where)


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return None if owner is None else f"{owner}.{node.attr}"
    return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
