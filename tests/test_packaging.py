"""What must hold for the repository as a whole: credits, pins and sizes.

Credits: PEP 440 (version specifiers: what `==` and `===` match).
"""

import ast
import re
import tomllib

import pytest

from tests.source_tree import ROOT, python_files, tracked_files

MAX_BYTES = 1_000_000


def has_credits(source: str) -> bool:
    """Whether the module's docstring ends in a paragraph that begins with `Credits:` and names something."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return re.match(r"Credits:\s*\S", docstring.split("\n\n")[-1]) is not None


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


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""What.\n\nCredits: none.\n"""', True),
        ('"""What.\n\nCredits:\n* Mnih et al. 2013, arXiv:1312.5602\n* numpy\n"""', True),
        ('"""What.\n\nCredits: none.\n\nMore.\n"""', False),
        ('"""What.\n\nCredits:\n"""', False),
        ('"""What. Credits: none."""', False),
        ("x = 1", False),
    ],
)
def test_credits_block_is_the_last_paragraph(source: str, expected: bool) -> None:
    assert has_credits(source) is expected


def test_every_python_file_gives_credits() -> None:
    without = [str(p.relative_to(ROOT)) for p in python_files() if not has_credits(p.read_text("utf-8"))]
    assert not without, f"the first docstring must end in a paragraph `Credits: ...`: {without}"


def test_no_tracked_file_is_large() -> None:
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked_files()}
    large = {name: size for name, size in sizes.items() if size > MAX_BYTES}
    assert not large, f"bytes: {large}"


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
    declared = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[<>=!~;\[ ]", text)[0].lower().replace("_", "-") for text in declared}
    assert names - pins().keys() == set()
