"""Compilation of a LaTeX paper by latexmk or tectonic, whose errors become one line with file and line.

Credits: latexmk (J. Collins), tectonic.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError

MAIN = "paper.tex"
SECONDS = 300
INSTALL = "install latexmk and texlive-latex-recommended (Debian, Ubuntu), or tectonic"
_ERROR = re.compile(r"^(?:\./)?(?P<file>[^\s:][^:\n]*\.\w+):(?P<line>\d+): (?P<message>.+)$", re.MULTILINE)
_UNDEFINED = re.compile(
    r"(?P<kind>Citation|Reference) [`'](?P<key>[^']+)'.{0,80}?undefined on input line (?P<line>\d+)"
)


@dataclass(frozen=True)
class Compiler:
    """A program that makes a PDF of ``MAIN`` in the current folder.

    :param log: whether it leaves a log file; otherwise it prints what others log
    """

    command: tuple[str, ...]
    log: bool


COMPILERS = {
    "latexmk": Compiler(
        (
            "latexmk", "-norc", "-pdf", "-silent", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error",
            "-pdflatex=pdflatex -no-shell-escape %O %S", MAIN,
        ),
        log=True,
    ),
    "tectonic": Compiler(("tectonic", "-X", "compile", "--untrusted", "--keep-logs", MAIN), log=True),
}  # fmt: skip


def find_compiler() -> Compiler:
    """The first compiler that is installed.

    :raises UserError: when there is none; the message says what to install
    """
    for name, compiler in COMPILERS.items():
        needed = ("latexmk", "pdflatex") if name == "latexmk" else (name,)
        if all(shutil.which(program) for program in needed):
            return compiler
    raise UserError(f"no LaTeX is installed to build the paper: {INSTALL}")


def compile_paper(folder: Path, compiler: Compiler | None = None) -> bytes:
    """The PDF of the paper in a folder, which is left with the compiler's files in it.

    The same files give the same bytes.

    :param folder: with ``paper.tex`` and all that it reads
    :raises UserError: for an error in a file, a missing figure, or an undefined citation or reference, with its line
    """
    compiler = compiler or find_compiler()
    environment = _environment(os.environ)
    try:
        done = subprocess.run(
            compiler.command,
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"LaTeX did not end within {SECONDS} s; see {folder / MAIN}", status=1) from error
    log = folder / Path(MAIN).with_suffix(".log")
    text = log.read_text("utf-8", "replace") if log.exists() else (done.stdout + done.stderr).decode("utf-8", "replace")
    if fault := first_fault(text, folder):
        raise UserError(fault)
    pdf = folder / Path(MAIN).with_suffix(".pdf")
    if done.returncode or not pdf.exists():
        lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise UserError(f"the paper cannot be built: {lines[-1]}", status=1)
    return pdf.read_bytes()


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """The variables with which TeX writes no dates, no long lines in pieces, and nothing outside its folder."""
    fixed = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "2000", "openout_any": "p"}
    return {**given, **fixed}


def first_fault(log: str, folder: Path) -> str | None:
    """The first error, or else the first undefined citation or reference, of a compilation's log; None without one."""
    if found := _ERROR.search(log):
        return f"{found['file']}, line {found['line']}: {found['message'].strip()}"
    if found := _UNDEFINED.search(log):
        file = _file_that_cites(folder, found["key"], int(found["line"]))
        return f"{file}, line {found['line']}: the {found['kind'].lower()} '{found['key']}' is defined nowhere"
    if found := re.search(r"^! (.+)$", log, re.MULTILINE):
        return f"{MAIN}: {found[1]}"
    return None


def _file_that_cites(folder: Path, key: str, line: int) -> str:
    """The file whose line of that number has the key, since the log does not say which it is."""
    for path in sorted(folder.glob("**/*.tex")):
        lines = path.read_text("utf-8", "replace").splitlines()
        if line <= len(lines) and key in lines[line - 1]:
            return str(path.relative_to(folder))
    return MAIN
