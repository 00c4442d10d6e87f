"""Which of the project's own modules a module uses, by its source alone.

A name in a string counts as an import, since such a module is started or loaded all the same; docstrings do not.

Credits: Python's ast module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

_DOTTED = re.compile(r"(?<![\w./-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


def module_of(name: str, modules: Collection[str]) -> str | None:
    """The longest beginning of a dotted name that is a module: ``rl.train.train`` names ``rl.train``."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def imports_in(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of what a source imports, wherever in it.

    :param package: the package that the source is in, for relative imports
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package.split(".")[: -(level - 1) or None] if level else []
                start = ".".join([*above, *([module] if module else [])])
                yield from ((node.lineno, f"{start}.{alias.name}") for alias in names)


def strings_in(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything dotted in a source's strings, but not in those that stand alone as docstrings do."""
    tree = ast.parse(source)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield from ((node.lineno, name) for name in names_in(node.value))


def names_in(text: str) -> list[str]:
    """Everything dotted in a text that may be the name of a module, not of a file."""
    return [name for name in _DOTTED.findall(text) if not name.endswith((".py", ".zip"))]


def module_files(root: Path, packages: Sequence[str]) -> dict[str, Path]:
    """The full name of each module of some packages, and its file: ``rl.envs`` is ``rl/envs/__init__.py``."""
    files = sorted(path for package in packages for path in (root / package).rglob("*.py"))
    parts = {path: path.relative_to(root).with_suffix("").parts for path in files}
    return {".".join(names[:-1] if names[-1] == "__init__" else names): path for path, names in parts.items()}


@cache
def _names_of(source: str, package: str) -> tuple[str, ...]:
    """All that a source names, in the order of its lines. Several programs of a submission use most files."""
    return tuple(name for _, name in sorted([*imports_in(source, package), *strings_in(source)]))


def used_modules(roots: Sequence[str], modules: Mapping[str, Path]) -> list[str]:
    """Some modules and all that they use, each after what it uses, as far as they do not use each other.

    :param modules: those of the project by their full names
    :return: full names, with the packages that they are in
    """
    order: dict[str, None] = {}
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun:
            return
        begun.add(name)
        source = modules[name].read_text("utf-8")
        package = name if modules[name].name == "__init__.py" else name.rpartition(".")[0]
        if package != name and package:
            visit(package)
        for other in _names_of(source, package):
            if (module := module_of(other, modules)) is not None:
                visit(module)
        order[name] = None

    for root in roots:
        visit(root)
    return list(order)
