"""Papers: what the template is filled with, whose text is kept, and errors with their lines. Built by real LaTeX."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import pytest

from common.errors import UserError
from gen_models.request import Method
from submission.checking.probe import probe
from submission.options import PaperSettings
from submission.paper import draft as drafting
from submission.paper.draft import OWN, Draft, copy_for_compiler, write_draft
from submission.paper.images import COMPOSED
from submission.paper.latex import COMPILERS, compile_paper, find_compiler, first_fault
from submission.paper.text import escaped, table
from submission.write_paper import paper
from tests.submission.made_runs import NEEDS_LATEX

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "results" / "gravitar" / "ppo-ram"
SMALL = Draft(
    dict.fromkeys(OWN[:-1], "Words.\n"), "Equations \\citep{ho2020}.", table(("a", "b"), [("50%", 1)], "A & B")
)


pytestmark = NEEDS_LATEX


def compiled(folder: Path, made: Path) -> bytes:
    copy_for_compiler(folder, made)
    return compile_paper(made)


def test_a_small_paper(tmp_path: Path) -> None:
    write_draft(SMALL, tmp_path / "prose", "This submission expects a total of +1 marks.")
    first, again = compiled(tmp_path / "prose", tmp_path / "one"), compiled(tmp_path / "prose", tmp_path / "two")
    assert first == again
    (tmp_path / "paper.pdf").write_bytes(first)
    found = probe("pdf", tmp_path / "paper.pdf")
    assert (found["pages"], found["counted"]) == (2, 1)
    text = " ".join(found["text"].split())
    order = ["Abstract", "1 Methodology", "Ho et al., 2020", "2 Results", "50%", "A & B", "3 Limitations", "+1 marks"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert sorted(path.name for path in (tmp_path / "prose").iterdir()) == sorted([*OWN, "generated"])


def test_the_students_text_is_never_overwritten(tmp_path: Path) -> None:
    write_draft(SMALL, tmp_path, "")
    (tmp_path / "results.tex").write_text("My own words.")
    (tmp_path / "generated" / "method.tex").write_text("lost")
    write_draft(SMALL, tmp_path, "")
    assert (tmp_path / "results.tex").read_text() == "My own words."
    assert drafting.untouched(SMALL, tmp_path) == ["title.tex", "abstract.tex", "methodology.tex", "limitations.tex"]
    assert (tmp_path / "generated" / "method.tex").read_text() == SMALL.method + "\n"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "results.tex",
            "One.\n\n\\includegraphics{missing.png}\n",
            r"^results\.tex, line 3: .*File .missing\.png. not found",
        ),
        (
            "methodology.tex",
            "One.\nAs in \\citep{nobody1999}.\n",
            r"^methodology\.tex, line 2: the citation 'nobody1999' is defined nowhere",
        ),
        (
            "limitations.tex",
            "See table \\ref{tab:none}.",
            r"^limitations\.tex, line 1: the reference 'tab:none' is defined nowhere",
        ),
        ("abstract.tex", "\n\\nonsense", r"^abstract\.tex, line 2: Undefined control sequence"),
        ("results.tex", "\\begin{figure}", r"^\S+, line \d+: LaTeX Error"),
        ("own.bib", "@article{x, author=", r"^paper\.tex|cannot be built|line"),
    ],
)
def test_errors_have_their_line(tmp_path: Path, file: str, text: str, message: str) -> None:
    write_draft(SMALL, tmp_path / "prose", "")
    (tmp_path / "prose" / file).write_text(text)
    with pytest.raises(UserError, match=message):
        compiled(tmp_path / "prose", tmp_path / "made")


def test_every_way_of_composing_has_its_equation() -> None:
    assert set(COMPOSED) == set(get_args(Method))


def test_own_references_are_found(tmp_path: Path) -> None:
    write_draft(SMALL, tmp_path / "prose", "")
    (tmp_path / "prose" / "own.bib").write_text("@misc{me2020, author={M. E.}, title={Own}, year={2020}}")
    (tmp_path / "prose" / "results.tex").write_text("See \\citet{me2020}.")
    assert compiled(tmp_path / "prose", tmp_path / "made").startswith(b"%PDF")


def test_text_runs_no_commands_of_the_shell(tmp_path: Path) -> None:
    write_draft(SMALL, tmp_path / "prose", "")
    (tmp_path / "prose" / "results.tex").write_text(f"\\immediate\\write18{{touch {tmp_path / 'ran'}}}Words.")
    (tmp_path / "prose" / ".latexmkrc").write_text(f"system('touch {tmp_path / 'ran'}');")
    compiled(tmp_path / "prose", tmp_path / "made")
    assert not (tmp_path / "ran").exists()


def test_without_latex_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"install latexmk and texlive-latex-recommended .*, or tectonic"):
        find_compiler()


def test_tectonic_is_taken_where_it_alone_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in that notes its arguments: what is tested is which program is called, and how.
    program = tmp_path / "bin" / "tectonic"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@" > called\nprintf %%PDF-1.5 > paper.pdf\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}")
    assert find_compiler() is COMPILERS["tectonic"]
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "made").mkdir()
    assert compile_paper(tmp_path / "made", COMPILERS["tectonic"]) == b"%PDF-1.5"
    assert (tmp_path / "made" / "called").read_text() == "-X compile --untrusted --keep-logs paper.tex\n"


def test_escapes() -> None:
    assert escaped(r"50% of_#1 {a}\b ~^<>&$ é 中") == (
        r"50\% of\_\#1 \{a\}\textbackslash{}b \textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\&\$ é ?"
    )
    assert first_fault("This is fine.", Path(".")) is None


def test_the_paper_of_a_real_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paper(PaperSettings(RUN, 2021, prose=tmp_path / "prose"))
    assert "part2-agent-paper.pdf: 2 pages without the references, no marks lost" in capsys.readouterr().out
    found = probe("pdf", tmp_path / "prose" / "part2-agent-paper.pdf")
    text = " ".join(found["text"].split())
    assert "Proximal policy optimisation on ALE/Gravitar-v5" in text
    assert "budget 7,500,000 steps" in text  # from the run's settings
    assert "The last 100: mean 852.5" in text  # as in docs/results.md
    with pytest.raises(UserError, match="2020 wants no paper on the agent"):
        paper(PaperSettings(RUN, 2020, prose=tmp_path / "prose"))


def test_marks_lost_by_pages_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(RUN, tmp_path / "run")
    paper(PaperSettings(run, 2021))
    (run / "paper" / "results.tex").write_text("\n\n\\newpage Words.\n" * 5)
    capsys.readouterr()
    paper(PaperSettings(run, 2021))
    pages = probe("pdf", run / "paper" / "part2-agent-paper.pdf")["counted"]
    assert pages > 4
    assert (
        f"{pages} pages without the references, {-5 * (pages - 4)} marks for {pages - 4} over 4"
        in capsys.readouterr().out
    )
