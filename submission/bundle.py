"""The command ``bundle``: the code of a run in one file, a notebook or a script, that trains it again.

    python -m submission bundle runs/gravitar/first gravitar-code.ipynb
    python -m submission bundle runs/pegasus/cifar pegasus-code.py

The file has the program that trains, the run's settings and all modules of the project that it uses, word for word and
each after what it uses; all credits stand at the top. A notebook writes them beside itself and trains in its last
cell. A script is in the percent format of notebooks: it writes its cells into a folder and trains there. Run it with
``train --preset smoke`` for seconds. The same run and the same code give the same bytes.

Credits: Jupyter's notebook format; Jupytext and Spyder for scripts with cells, IPython for ``%%writefile``.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import UserError
from common.files import write_atomic
from common.run_folder import ADVERSARIAL, RunFolder, read_settings
from gen_models.training.settings import RunSettings as ImagesSettings
from rl.settings import RunSettings as AgentSettings
from submission.edition import Part
from submission.local_modules import module_files, module_of, names_in, used_modules
from submission.options import BundleSettings

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("callbacks", "common", "gen_models", "rl", "submission")
FUTURE = "from __future__ import annotations\n"
SUFFIXES = (".ipynb", ".py")


@dataclass(frozen=True)
class Program:
    """What trains a part of the coursework.

    :param module: the module that is run
    :param data: patterns of further files that it reads
    """

    title: str
    module: str
    data: tuple[str, ...] = ()


PROGRAMS: dict[Part, Program] = {
    "agent": Program("The agent", "submission.train_agent", ("rl_zoo_configs/*.yml",)),
    "images": Program("The generative model", "submission.train_images"),
}

NOTEBOOK_START = """\
# The cells below write the program's files beside this notebook; the last one trains.
from pathlib import Path

for folder in {folders}:
    Path(folder).mkdir(parents=True, exist_ok=True)
"""

NOTEBOOK_END = """\
# Arguments: none for the submitted settings; train --preset smoke for a training of seconds.
import subprocess, sys

subprocess.run([sys.executable, "-m", "{module}"], check=True)
"""

SCRIPT_START = """\
# %% Writes the cells below, the program's files, into the folder {folder}, and runs the program there.
# Arguments: none for the submitted settings; train --preset smoke for a training of seconds.
import os
import re
import sys
from pathlib import Path

folder = Path("{folder}").resolve()
cells = re.split(r"^# %% file (.*)\\n", Path(__file__).read_text("utf-8"), flags=re.MULTILINE)
for name, text in zip(cells[1::2], cells[2::2]):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".py":
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    path.write_text(text.replace("# {future}", "{future}", 1), "utf-8")
os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
os.execv(sys.executable, [sys.executable, "-m", "{module}", *sys.argv[1:]])
"""


def bundle(settings: BundleSettings) -> None:
    """Write the file.

    :raises UserError: for another suffix, a file that exists, or a run whose training needs what a bundle cannot have
    """
    if settings.output.suffix not in SUFFIXES:
        raise UserError(f"{settings.output}: the code is a notebook or a script; choose a name in .ipynb or .py")
    if settings.output.exists():
        raise UserError(f"{settings.output} exists and is never overwritten; choose another name")
    content = bundled(settings.run, settings.output.suffix, settings.output.stem)
    write_atomic(settings.output, content)
    print(f"{settings.output}: {len(content) / 1e3:.0f} kB; it trains the run {settings.run} again")


def bundled(run: Path, suffix: str, stem: str) -> str:
    """The notebook (``.ipynb``) or the script (``.py``) of a run.

    :param stem: of the file's name; a script writes its files into a folder of this name
    :raises UserError: for a run whose training needs what a bundle cannot have
    """
    part = part_of(run)
    program = PROGRAMS[part]
    files = program_files(program, run_files(run, part))
    made = _notebook(program, files) if suffix == ".ipynb" else _script(program, files, stem)
    return made


def part_of(run: Path) -> Part:
    """Whether a run is of an agent or of a generative model.

    :raises UserError: when it is no run folder
    """
    content = read_settings(RunFolder(run).settings)
    if isinstance(content, dict) and "algo" in content:
        return "agent"
    if isinstance(content, dict) and "denoiser" in content:
        return "images"
    if isinstance(content, dict) and ADVERSARIAL in content:
        raise UserError(f"{run} is a DCGAN, which is for comparison and is not submitted; give the run of a denoiser")
    raise UserError(f"{run} is neither the run of an agent nor of a generative model")


def run_files(run: Path, part: Part) -> dict[str, str]:
    """What the training reads of the run itself: its settings, without what concerns the machine, and labels by hand.

    :raises UserError: for a run whose training needs what the rules forbid, or what is not there
    """
    path = RunFolder(run).settings
    content: dict[str, Any] = read_settings(path)
    files: dict[str, str] = {}
    if part == "agent":
        settings = AgentSettings.from_yaml(path)
        for what, source in (("states", settings.starts), ("weights", settings.pretrained)):
            if source is not None:
                raise UserError(f"{run} began from {what} of {source}, which its code alone does not have")
    else:
        images = ImagesSettings.from_yaml(path)
        own = [spec for spec in images.data.specs if spec.partition(":")[0] in ("folder", "npz")]
        if own:
            raise UserError(
                f"{run} was trained on {', '.join(own)}, which its code alone does not have: use cifar10, stl10"
            )
        for label in images.data.labels:
            file = Path(label.rpartition("=")[2])
            try:
                files[f"labels/{file.name}"] = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"the labels {file} of {run} cannot be read: put them back") from error
        content["data"] = {
            **content["data"],
            "labels": [
                f"{source}{equals}labels/{Path(file).name}" for source, equals, file in map(_label, images.data.labels)
            ],
            "downloads": "data",
        }
    content["git_commit"] = None
    return {"settings.yml": yaml.safe_dump(content, sort_keys=False), **files}


def _label(label: str) -> tuple[str, str, str]:
    source, equals, file = label.rpartition("=")
    return source, equals, file


def program_files(program: Program, data: Mapping[str, str]) -> dict[str, str]:
    """All files of a program by their paths, in the order in which to read them: data first, then each module after
    what it uses."""
    modules = module_files(ROOT, PACKAGES)
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for pattern in program.data
        for path in sorted(ROOT.glob(pattern))
    }
    texts = {**data, **texts}
    named = {module_of(name, modules) for text in texts.values() for name in names_in(text)} - {None}
    # The program itself is read last.
    order = used_modules([*sorted(str(name) for name in named), program.module], modules)
    return {**texts, **{modules[name].relative_to(ROOT).as_posix(): modules[name].read_text("utf-8") for name in order}}


def credits_of(files: Mapping[str, str]) -> list[str]:
    """The credits in the docstrings of Python files, each with the files that give it."""
    given: dict[str, list[str]] = {}
    for path, text in files.items():
        docstring = ast.get_docstring(ast.parse(text)) if path.endswith(".py") else None
        last = (docstring or "").split("\n\n")[-1]
        if last.startswith("Credits:"):
            given.setdefault(" ".join(last.removeprefix("Credits:").split()), []).append(path)
    return [f"{', '.join(paths)}: {text}" for text, paths in given.items()]


def _introduction(program: Program, files: Mapping[str, str]) -> list[str]:
    lines = [
        f"# {program.title}",
        "",
        "Credits: what each file builds on (papers, libraries), gathered from the files.",
        "",
    ]
    return [*lines, *(f"* {credit}" for credit in credits_of(files))]


def _notebook(program: Program, files: Mapping[str, str]) -> str:
    folders = sorted({str(Path(path).parent) for path in files} - {"."})
    cells = [
        ("markdown", "\n".join(_introduction(program, files))),
        ("code", NOTEBOOK_START.format(folders=folders)),
        *(("code", f"%%writefile {path}\n{text}") for path, text in files.items()),
        ("code", NOTEBOOK_END.format(module=program.module)),
    ]
    content = {
        "cells": [_cell(number, kind, text) for number, (kind, text) in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    code: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    source = text.rstrip("\n").splitlines(keepends=True)
    return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source, **code}


def _script(program: Program, files: Mapping[str, str], stem: str) -> str:
    introduction = "".join(f"# {line}".rstrip() + "\n" for line in _introduction(program, files))
    start = SCRIPT_START.format(folder=stem, module=program.module, future=FUTURE.replace("\n", "\\n"))
    sections = []
    for path, text in files.items():
        if path.endswith(".py"):
            # Such a line may stand at the beginning of a file only, so the script writes it anew.
            text = text.replace(f"\n{FUTURE}", f"\n# {FUTURE}", 1)
        else:
            text = "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())
        sections.append(f"# %% file {path}\n{text}")
    return f"# %% [markdown]\n{introduction}\n{start}\n" + "".join(sections)
