"""Rules for the whole repository: credits, pins, sizes, and the direction of imports.

Credits: PEP 440 (version specifiers: what `==` and `===` match).
"""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"bench", "callbacks", "common", "gen_models", "rl", "tune"}
MAX_BYTES = 1_000_000

# Run scripts -> tune -> rl, gen_models -> callbacks -> common; bench looks at all from outside.
# rl_zoo3 is a peer to compare with: importing it patches gymnasium and NumPy, so it runs in its own process.
FORBIDDEN = {
    "bench": {"rl_zoo3"},
    "callbacks": {"bench", "rl_zoo3", "tune"},
    "common": PACKAGES - {"common"} | {"rl_zoo3"},
    "gen_models": {"bench", "rl", "rl_zoo3", "tune"},
    "rl": {"bench", "gen_models", "rl_zoo3", "tune"},
    "tune": {"bench", "rl_zoo3"},
}


def tracked_files() -> list[Path]:
    """Files under version control that are there, absolute; skips the test outside a git checkout."""
    # A container often runs as another user than the checkout's owner; git then refuses without this.
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py"]


def imported_modules(source: str) -> set[str]:
    """First names of all absolute imports in a source text, wherever they stand in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


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


def test_imported_modules_are_found_at_any_depth() -> None:
    source = "import a.b, c\nfrom d.e import f\nfrom . import g\ndef h():\n    from i import j\n"
    assert imported_modules(source) == {"a", "c", "d", "i"}


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


def test_imports_point_downwards() -> None:
    wrong = []
    for path in python_files():
        name = path.relative_to(ROOT)
        modules = imported_modules(path.read_text("utf-8"))
        bad = modules & FORBIDDEN.get(name.parts[0], set())
        bad |= {m for m in modules if m.startswith("run_") and (ROOT / f"{m}.py").exists()}
        wrong += [f"{name} imports {module}" for module in sorted(bad)]
    assert not wrong, wrong


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
