"""Pieces of LaTeX: escaped text, tables, figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def escaped(text: object) -> str:
    """A text in which nothing is a command; letters beyond ASCII that pdfLaTeX may not know become question marks."""
    replaced = "".join(_ESCAPES.get(sign, sign) for sign in str(text))
    return replaced.encode("latin-1", "replace").decode("latin-1")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str, columns: str | None = None) -> str:
    """A table with rules; texts are escaped, numbers stand on the right.

    :param columns: LaTeX's column letters; by default the first on the left and the others on the right
    """
    letters = columns or "l" + "r" * (len(head) - 1)
    lines = [" & ".join(map(escaped, row)) + r" \\" for row in rows]
    return "\n".join(
        [
            r"\begin{table}[htb]\centering\footnotesize",
            rf"\begin{{tabular}}{{{letters}}}\toprule",
            " & ".join(map(escaped, head)) + r" \\ \midrule",
            *lines,
            r"\bottomrule\end{tabular}",
            rf"\caption{{{escaped(caption)}}}",
            r"\end{table}",
        ]
    )


def figure(files: Sequence[tuple[str, float]], caption: str) -> str:
    """Pictures side by side.

    :param files: names, and widths as shares of the text's width
    """
    pictures = "\\hfill\n".join(rf"\includegraphics[width={width:g}\linewidth]{{{name}}}" for name, width in files)
    return f"\\begin{{figure}}[htb]\\centering\n{pictures}\n\\caption{{{escaped(caption)}}}\n\\end{{figure}}"
