"""README.md and docs/: what they name of the project is there.

Credits: Python's ast module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from submission.local_modules import module_of
from tests.source_tree import ROOT, module_files

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PACKAGES = ("bench", "callbacks", "common", "gen_models", "rl", "submission", "tests", "tune")

_FILE = re.compile(r"(?<![\w./*-])(?:\.\./)*[\w-]+(?:/[\w-]+)*\.py\b")
_FOLDER = re.compile(rf"(?<![\w./*-])(?:{'|'.join(PACKAGES)})/(?:[\w-]+/)*(?![\w.*-])")
_DOTTED = re.compile(rf"(?<![\w./*-])(?:{'|'.join(PACKAGES)})(?:\.(?!(?:md|zip)\b)[A-Za-z_]\w*)+")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def names_of(path: Path) -> set[str]:
    """What a module has at its top: definitions, assignments, imports; for a package also its modules."""
    names: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                names.update(alias.asname or alias.name for alias in imported)
    return names


def missing(text: str, folder: Path, modules: Mapping[str, Path]) -> list[str]:
    """The files, folders, links and dotted names in a text that are not there.

    :param folder: the folder that the text's page is in, from which its links go
    :param modules: full names of the project's modules, and their files
    """
    paths = [*_FILE.findall(text), *_FOLDER.findall(text)]
    absent = [path for path in paths if not (ROOT / path).exists() and not (folder / path).exists()]
    absent += [link for link in _LINK.findall(text) if not (folder / link).exists()]
    for name in _DOTTED.findall(text):
        module = module_of(name, modules)
        rest = name.removeprefix(f"{module}.").split(".")[0] if name != module else ""
        if module is None or (rest and rest not in names_of(modules[module])):
            absent.append(name)
    return sorted(set(absent))


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("`run_gravitar.py`, tests/test_docs.py and [a](test_docs.py), [b](https://x.org/y.py)", []),
        ("see `run_nothing.py` or rl/nothing.py.", ["rl/nothing.py", "run_nothing.py"]),
        ("[a](nothing.md#part) [b](source_tree.py#part)", ["nothing.md"]),
        ("in `rl/envs/` and rl/nothing/, not in rl/no", ["rl/nothing/"]),
        ("`rl.train`, rl.train.RENDERER and common.errors.UserError.status.", []),
        ("python -m rl.nothing; rl.train.nothing", ["rl.nothing", "rl.train.nothing"]),
        ("https://github.com/x/rl.nothing, my_rl.nothing, docs/tune.md, tune.md", []),
    ],
)
def test_what_is_missing_is_found(text: str, absent: list[str]) -> None:
    assert missing(text, ROOT / "tests", module_files()) == absent


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    assert missing(page.read_text("utf-8"), page.parent, module_files()) == []
