"""Code in one file: nothing is left out, it is word for word, and in an empty folder it trains the run again.

Credits: Jupyter's nbclient, which runs the notebook.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

from common.checkpoints import latest_checkpoint
from common.errors import UserError
from common.run_folder import RunFolder
from gen_models.options import TrainSettings as ImagesSettings
from gen_models.training.loop import train as train_images
from gen_models.training.settings import RunSettings, resolve
from rl.options import TrainSettings
from rl.train import train as train_agent
from submission.bundle import PROGRAMS, bundle, bundled, credits_of, program_files
from submission.checking.code_file import read_code
from submission.local_modules import module_files, used_modules
from submission.options import BundleSettings
from submission.train_images import options_of
from tests.untrained_run import untrained_run

ROOT = Path(__file__).resolve().parents[2]
# The project may be installed beside its libraries; with this on the path it is not found.
ONLY_LIBRARIES = """\
import pathlib, sys
sys.path[:] = [path for path in sys.path if not (pathlib.Path(path or ".") / "run_gravitar.py").exists()]
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of some games."""
    runs = tmp_path_factory.mktemp("runs")
    small = ("n_steps=32", "batch_size=64", "policy_kwargs=dict(net_arch=[8])")
    train_agent(
        TrainSettings(
            preset="smoke", timesteps=2400, n_envs=2, device="cpu", runs=runs, set=small, video_every=0, name="small"
        )
    )
    return runs / "gravitar" / "small"


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that has the libraries alone."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ONLY_LIBRARIES)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}


def test_the_project_is_not_found_elsewhere(elsewhere: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import rl"], env=elsewhere, cwd=tmp_path, capture_output=True, text=True
    )
    assert "No module named 'rl'" in done.stderr


def test_a_script_plays_the_same_games_in_an_empty_folder(
    agent: Path, elsewhere: dict[str, str], tmp_path: Path
) -> None:
    code, empty = tmp_path / "gravitar-code.py", tmp_path / "empty"
    empty.mkdir()
    bundle(BundleSettings(agent, code))
    done = subprocess.run([sys.executable, str(code)], env=elsewhere, cwd=empty, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = RunFolder(empty / "runs" / "gravitar" / "small")
    assert run.traces.read_text() == RunFolder(agent).traces.read_text()
    assert run.marking_log.read_text() == RunFolder(agent).marking_log.read_text()
    assert run.marking_log.stat().st_size > 0
    # What it wrote is the project's own code, word for word.
    for path in (empty / "gravitar-code").rglob("*.py"):
        assert path.read_bytes() == (ROOT / path.relative_to(empty / "gravitar-code")).read_bytes()
    assert (empty / "gravitar-code" / "rl_zoo_configs" / "ppo.yml").read_bytes() == (
        ROOT / "rl_zoo_configs" / "ppo.yml"
    ).read_bytes()


def test_a_notebook_trains_the_same_network_in_an_empty_folder(elsewhere: dict[str, str], tmp_path: Path) -> None:
    train_images(
        ImagesSettings(preset="smoke", images=64, device="cpu", runs=tmp_path / "runs", name="small", threads=1)
    )
    before = RunFolder(tmp_path / "runs" / "pegasus" / "small")
    bundle(BundleSettings(before.path, tmp_path / "pegasus-code.ipynb"))
    empty = tmp_path / "empty"
    empty.mkdir()
    notebook = nbformat.read(tmp_path / "pegasus-code.ipynb", as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(empty)}})
    client.execute(env=elsewhere)
    after = latest_checkpoint(empty / "runs" / "pegasus" / "small" / "checkpoints")
    first = latest_checkpoint(before.checkpoints)
    assert first is not None and after is not None
    assert (after / "denoiser.safetensors").read_bytes() == (first / "denoiser.safetensors").read_bytes()
    assert (empty / "gen_models" / "training" / "loop.py").read_bytes() == (
        ROOT / "gen_models/training/loop.py"
    ).read_bytes()


@pytest.mark.parametrize("suffix", [".ipynb", ".py"])
def test_the_same_run_gives_the_same_bytes_and_all_credits_at_the_top(agent: Path, suffix: str, tmp_path: Path) -> None:
    text = bundled(agent, suffix, "gravitar-code")
    assert text == bundled(agent, suffix, "gravitar-code")
    files = program_files(PROGRAMS["agent"], {})
    path = tmp_path / "code"
    path.write_text(text)
    code = read_code(path, f"code{suffix}")
    assert code.has_credits and code.marking_print
    top = code.text[: code.text.index("import")] if suffix == ".py" else json.loads(text)["cells"][0]["source"]
    top = re.sub(r"\s+", " ", "".join(top).replace("#", ""))
    for credit in credits_of(files):
        assert re.sub(r"\s+", " ", credit.replace("#", "")) in top
    assert str(agent.parent) not in text  # no path of this machine


def test_everything_that_is_imported_comes_before_what_imports_it() -> None:
    files = list(program_files(PROGRAMS["agent"], {}))
    assert files[-1] == "submission/train_agent.py"
    assert {"rl/wrappers.py", "rl/traces/render_worker.py", "rl/envs/__init__.py", "rl_zoo_configs/dqn.yml"} <= set(
        files
    )
    assert files.index("common/errors.py") < files.index("rl/settings.py") < files.index("rl/train.py")
    assert not any(path.startswith(("gen_models", "tune")) for path in files)


def test_the_order_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    sources = {
        "a/__init__.py": "", "a/b/__init__.py": "", "a/one.py": "from a import two\nRUN = 'a.three'",
        "a/two.py": "def f():\n    from .b.four import x", "a/three.py": '"""a.unused"""', "a/b/four.py": "x = 1",
        "a/unused.py": "",
    }  # fmt: skip
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    modules = module_files(tmp_path, ["a"])
    assert set(modules) == {"a", "a.b", "a.one", "a.two", "a.three", "a.b.four", "a.unused"}
    assert used_modules(["a.one"], modules) == ["a", "a.b", "a.b.four", "a.two", "a.three", "a.one"]


def test_a_script_is_valid_python_as_a_whole(agent: Path) -> None:
    ast.parse(bundled(agent, ".py", "x"))


def test_labels_by_hand_go_along(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run")
    labels = tmp_path / "wings.csv"
    labels.write_text("image,spread\n1,yes\n")
    settings = RunSettings.from_yaml(run.settings)
    data = dataclasses.replace(settings.data, specs=("cifar10",), labels=(f"cifar10={labels}",))
    run.settings.write_text(dataclasses.replace(settings, data=data).to_yaml())
    text = bundled(run.path, ".py", "x")
    assert "# %% file labels/wings.csv\n# image,spread\n# 1,yes\n" in text
    assert "#   - cifar10=labels/wings.csv\n" in text
    labels.unlink()
    with pytest.raises(UserError, match="cannot be read: put them back"):
        bundled(run.path, ".py", "x")


def test_options_give_the_same_run_again(tmp_path: Path) -> None:
    first = resolve(
        ImagesSettings(preset="cifar-cpu", images=1234, dropout=0.1, prediction="epsilon", seed=7, name="x")
    )
    again = resolve(options_of(first))
    assert dataclasses.replace(again, device=first.device) == first


@pytest.mark.parametrize("spec", ["folder:/pictures", "npz:cifar10.npz"])
def test_what_a_bundle_cannot_have_is_refused(tmp_path: Path, spec: str) -> None:
    run = untrained_run(tmp_path / "run")
    settings = RunSettings.from_yaml(run.settings)
    data = dataclasses.replace(settings.data, specs=(spec,))
    run.settings.write_text(dataclasses.replace(settings, data=data).to_yaml())
    with pytest.raises(UserError, match="its code alone does not have"):
        bundled(run.path, ".py", "x")


def test_bad_input(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "there.py").write_text("")
    for output, message in (("code.txt", "a notebook or a script"), ("there.py", "never overwritten")):
        with pytest.raises(UserError, match=message):
            bundle(BundleSettings(agent, tmp_path / output))
    with pytest.raises(UserError, match="is not a run folder"):
        bundle(BundleSettings(tmp_path, tmp_path / "code.py"))
    (tmp_path / "settings.yml").write_text("a: 1")
    with pytest.raises(UserError, match="neither the run of an agent"):
        bundle(BundleSettings(tmp_path, tmp_path / "code.py"))
    text = (agent / "settings.yml").read_text()
    for key, what in (("starts", "states"), ("pretrained", "weights")):
        assert f"{key}: null" in text
        (tmp_path / "settings.yml").write_text(text.replace(f"{key}: null", f"{key}: runs/other"))
        with pytest.raises(UserError, match=f"began from {what} of runs/other"):
            bundle(BundleSettings(tmp_path, tmp_path / "code.py"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["settings.yml", "there.py"]
