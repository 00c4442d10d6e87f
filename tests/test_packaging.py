"""Rules for the whole repository: credits, pins and sizes.

Credits: PEP 440 (version specifiers: what `==` and `===` match).
"""

import ast
import io
import re
import tokenize
import tomllib

import pytest

from tests.source_tree import ROOT, python_files, tracked_files

MAX_BYTES = 1_000_000
# Of the weights of the agents and models that are shown: each, and all of them.
MAX_WEIGHTS, MAX_ALL_WEIGHTS = 4_000_000, 15_000_000

# How a paper is named: by its identifier, or by its authors and year (not "The 2020 edition").
PAPER = re.compile(r"\b(?i:arxiv|doi)\b|\bet al\.|\b(?!The\b)[A-Z][a-z]+ (?:19|20)\d\d\b")
# Whose algorithms are changed here by deriving from them. Their classes called Base... are interfaces.
ALGORITHMS = {"diffusers", "optuna", "sb3_contrib", "stable_baselines3"}


def prose(source: str) -> list[str]:
    """Docstrings, those of attributes too, and comments of a source text."""
    texts = [
        node.value.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return texts + [token.string for token in tokens if token.type == tokenize.COMMENT]


def derived_algorithms(source: str) -> list[str]:
    """The classes of ``ALGORITHMS`` that a source text derives classes from."""
    tree = ast.parse(source)
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            origins |= {alias.asname or alias.name: node.module for alias in node.names}
        elif isinstance(node, ast.Import):
            origins |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
    names = [ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
    return [
        name
        for name in names
        if origins.get(name.split(".")[0], "").split(".")[0] in ALGORITHMS
        and not name.split(".")[-1].startswith("Base")
    ]


def faulty_credits(source: str) -> list[str]:
    """What is wrong with a source text's credits, nothing where all is right.

    A file that names a paper, or derives from a library's algorithm, ends its docstring in a paragraph `Credits: ...`.
    Where there is nothing to credit there is no such paragraph.
    """
    docstring = ast.get_docstring(ast.parse(source)) or ""
    last = docstring.split("\n\n")[-1]
    if re.search(r"Credits:\s*none\b", docstring, re.IGNORECASE):
        return ["`Credits: none` says nothing"]
    if re.match(r"Credits:\s*\S", last):
        return []
    if "Credits:" in docstring:
        return ["the credits are empty, or not the last paragraph"]
    named = [found.group() for text in prose(source) for found in PAPER.finditer(text)]
    return [f"no credits, for: {what}" for what in (*named, *derived_algorithms(source))]


def pins() -> dict[str, tuple[str, str]]:
    """The constraints as {lower-case name: (operator, version)}."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    entries = [line for line in lines if line.strip() and not line.startswith("#")]
    found = {}
    for entry in entries:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(={2,3})(\S+)", entry)
        assert match, f"constraints.txt: not an exact pin: {entry!r}"
        name, operator, version = match.groups()
        found[name.lower().replace("_", "-")] = operator, version
    return found


UNCREDITED = '''"""Noise added as in a paper."""
from optuna.samplers import BaseSampler, TPESampler
import stable_baselines3.dqn as dqn

class Sampler(BaseSampler):
    def sample(self):
        """After Fortunato et al., see arXiv:1706.10295."""
        return "10.1000/xyz, Mnih 2015"  # Wilson 1927

class Other(TPESampler, dqn.DQN): ...
'''
CREDITED = UNCREDITED.replace("in a paper.", "in a paper.\n\nCredits: Fortunato et al. 2017\n(arXiv:1706.10295).\n")


def test_papers_and_derived_algorithms_ask_for_credits() -> None:
    reasons = ["et al.", "arXiv", "Wilson 1927", "TPESampler", "dqn.DQN"]  # what code holds is not said to a reader
    assert faulty_credits(UNCREDITED) == [f"no credits, for: {reason}" for reason in reasons]
    assert faulty_credits(CREDITED) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1", []),
        ('"""What the 2020 edition asks for. The 2021 edition has no part in it."""\nx = "et al."', []),
        ('"""What.\n\nCredits:\n* Mnih et al. 2013, arXiv:1312.5602\n* numpy\n"""', []),
        ('"""What.\n\nCredits: none.\n"""', ["`Credits: none` says nothing"]),
        ('"""What. Credits: None, really."""', ["`Credits: none` says nothing"]),
        ('"""What.\n\nCredits: NumPy.\n\nMore.\n"""', ["the credits are empty, or not the last paragraph"]),
        ('"""What.\n\nCredits:\n"""', ["the credits are empty, or not the last paragraph"]),
        ('"""What."""\n@dataclass\nclass A:\n    a: int\n    """Efron 1987."""', ["no credits, for: Efron 1987"]),
        ("x = 1  # DOI 10.1000/xyz", ["no credits, for: DOI"]),
    ],
)
def test_credits_stand_where_something_is_due(source: str, expected: list[str]) -> None:
    assert faulty_credits(source) == expected


def test_every_python_file_gives_the_credits_that_are_due() -> None:
    faults = {str(p.relative_to(ROOT)): faulty_credits(p.read_text("utf-8")) for p in python_files()}
    faults = {name: found for name, found in faults.items() if found}
    assert not faults, f"a docstring with something to credit ends in a paragraph `Credits: ...`: {faults}"


def test_no_tracked_file_is_large() -> None:
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked_files()}
    weights = {name for name in sizes if name.startswith("results/") and name.endswith(".safetensors")}
    large = {name: size for name, size in sizes.items() if size > (MAX_WEIGHTS if name in weights else MAX_BYTES)}
    assert not large, f"bytes: {large}"
    assert sum(sizes[name] for name in weights) <= MAX_ALL_WEIGHTS


def test_constraints_are_exact_and_hold_no_address_and_no_local_version() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text and " @ " not in text
    local = [name for name, (_, version) in pins().items() if "+" in version]
    assert not local, local


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_torch_and_torchvision_are_pinned_as_text(name: str) -> None:
    # `==2.15.0` would also match a CPU-only 2.15.0+cpu from a find-links folder (PEP 440).
    assert pins()[name][0] == "==="


def test_torch_and_torchvision_work_together() -> None:
    import torch
    import torchvision.ops

    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), iou_threshold=0.5)
    assert kept.tolist() == [0, 2]  # the second box overlaps the first by 0.95


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + [text for extra in project["optional-dependencies"].values() for text in extra]
    names = {re.split(r"[<>=!~;\[ ]", text)[0].lower().replace("_", "-") for text in declared}
    assert names - pins().keys() == {project["name"]}  # extras that are made of others
