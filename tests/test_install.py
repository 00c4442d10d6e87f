"""``make install TORCH=cpu``: its constraints take torch's CPU wheels, and nothing of CUDA.

The wheels are made up, with the names and versions of the real ones, which are not on PyPI.

Credits: PyPA's wheel format.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.source_tree import ROOT


def made_up_wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> None:
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


def chosen(folder: Path, constraints: Path) -> set[str]:
    """What pip would install."""
    command = [sys.executable, "-m", "pip", "--isolated", "install", "--dry-run", "--ignore-installed", "--no-index"]
    command += ["--find-links", str(folder), "-c", str(constraints), "torch", "torchvision"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = re.search(r"Would install (.*)", done.stdout)
    assert line is not None
    return set(line[1].split())


def test_torch_without_cuda(tmp_path: Path) -> None:
    for file in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    subprocess.run(["make", "-C", str(tmp_path), "build/constraints-cpu.txt"], check=True, stdout=subprocess.DEVNULL)
    cpu = tmp_path / "build/constraints-cpu.txt"
    pins = dict(re.findall(r"^(torch|torchvision)===(\S+)$", (tmp_path / "constraints.txt").read_text(), re.M))
    for name, version in pins.items():
        made_up_wheel(tmp_path, name, f"{version}+cpu")
        made_up_wheel(tmp_path, name, version, ("nvidia-made-up",) if name == "torch" else ())
    made_up_wheel(tmp_path, "nvidia_made_up", "1.0")
    assert chosen(tmp_path, cpu) == {f"{name}-{version}+cpu" for name, version in pins.items()}
    usual = {f"{name}-{version}" for name, version in pins.items()}
    assert chosen(tmp_path, tmp_path / "constraints.txt") == usual | {"nvidia_made_up-1.0"}
    assert not re.search(r"^(nvidia|cuda|triton)", cpu.read_text(), re.M)
    planned = subprocess.run(
        ["make", "-n", "-C", str(tmp_path), "install", "TORCH=cpu"], capture_output=True, text=True, check=True
    )
    assert "-c build/constraints-cpu.txt -e '.[dev]'" in planned.stdout
