"""Tables for terminals of any width: one that is too wide is turned, with a few lines for each of its rows.

Credits: rich.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(console: Console, table: Table, turned: Table | None = None) -> None:
    """Print a table so that neither words nor the names of its rows are broken.

    :param table: its title and caption are printed above and below, as wide as the console
    :param turned: whose rows to print one below the other where the table is too wide; default: those of the table
    """
    title, caption = table.title, table.caption
    table.title = table.caption = None
    if title is not None:
        console.print(Text(str(title)))
    unbroken = console.options.update(max_width=10_000)
    if table.__rich_measure__(console, unbroken).maximum <= console.width:
        console.print(table)
    else:
        _print_rows(console, turned or table)
    if caption is not None:
        console.print(Text(str(caption)))


def _print_rows(console: Console, table: Table) -> None:
    """The headings beside the cells, one row of the table below the other, each under its first cell."""
    for first, *cells in zip(*(column.cells for column in table.columns), strict=True):
        console.print(Text(str(first)), soft_wrap=True)
        row = Table(box=box.SIMPLE, show_header=False, pad_edge=False, show_edge=False)
        row.add_column()
        row.add_column(overflow="fold", min_width=8)
        for column, cell in zip(table.columns[1:], cells, strict=True):
            row.add_row(column.header, cell)
        console.print(row)
        console.print()
