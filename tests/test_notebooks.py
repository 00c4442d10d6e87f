"""Both notebooks run from top to bottom with the smoke preset, and again, as after a disconnect.

Credits: nbclient.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.forked_runs import forked_python
from tests.source_tree import ROOT


def outputs(notebook: Any, kind: str) -> list[str]:
    """All outputs of a kind, such as ``image/png``; ``text`` is what was printed."""
    cells = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    if kind == "text":
        return [output.text for output in cells if output.output_type == "stream"]
    return [output.data[kind] for output in cells if kind in output.get("data", {})]


def executed(path: Path, folder: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    assert not outputs(notebook, "text"), "a notebook is kept without outputs"
    # The commands that it starts are forks of a process that has imported the libraries.
    forked = nbformat.v4.new_code_cell(f"import sys\nsys.executable = {forked_python()!r}")
    notebook.cells.insert(0, forked)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


@pytest.fixture(autouse=True)
def smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESET", "smoke")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


def test_gravitar(tmp_path: Path) -> None:
    notebook = executed(ROOT / "notebooks/gravitar.ipynb", tmp_path)
    assert len(outputs(notebook, "image/png")) == 1
    assert "raw scores of whole games" in "".join(outputs(notebook, "text"))
    assert any("<video" in html for html in outputs(notebook, "text/html"))
    assert (tmp_path / "runs/gravitar/notebook-smoke/gravitar-log.txt").exists()


def test_pegasus(tmp_path: Path) -> None:
    path = ROOT / "notebooks/pegasus.ipynb"
    assert len(outputs(executed(path, tmp_path), "image/png")) == 2
    assert (tmp_path / "exported/model_index.json").exists()
    assert "resuming" in "".join(outputs(executed(path, tmp_path), "text"))
