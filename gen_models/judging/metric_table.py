"""The table of metrics of several sets of images, as Markdown, JSON and on the terminal.

Credits: rich.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from common.tables import print_table
from gen_models.judging.measured import Measured
from gen_models.judging.metrics import Metric


@dataclass(frozen=True)
class Column:
    """A set of images in the table.

    :param name: of the set
    :param measured: the images with their measurements
    :param notes: about cutting and resizing
    :param real: whether the images are real ones, for comparison
    """

    name: str
    measured: Measured
    notes: tuple[str, ...] = ()
    real: bool = False

    @property
    def heading(self) -> str:
        """The name with the number of images."""
        return f"{self.name} ({len(self.measured)})"


class MetricTable:
    """The metrics of several sets, computed once.

    :param metrics: the rows
    :param columns: the sets
    :param data: name of the real images' source
    :param accuracy: of the classifier on its test images, 0 to 1
    :param warnings: reasons to doubt the numbers
    """

    def __init__(
        self, metrics: Sequence[Metric], columns: Sequence[Column], data: str, accuracy: float, warnings: Sequence[str]
    ) -> None:
        self.metrics = metrics
        self.columns = columns
        self.data = data
        self.accuracy = accuracy
        self.values = [[metric.of(column.measured) for column in columns] for metric in metrics]
        notes = [f"{column.name}: {note}" for column in columns for note in column.notes]
        self.warnings = [*warnings, *notes, *self._uneven()]

    def _uneven(self) -> list[str]:
        """A warning for each set whose number of images differs from that of the real ones."""
        usual = max((len(column.measured) for column in self.columns if column.real), default=0)
        return [
            f"{column.name}: {len(column.measured)} images beside {usual} others; Vendi score, recall, coverage and "
            "distances within the set depend on how many there are"
            for column in self.columns
            if len(column.measured) != usual
        ]

    @property
    def intro(self) -> str:
        """A sentence on the data and the classifier."""
        return (
            f"Measured against {self.data}, in own features: of a classifier trained here that is right on "
            f"{100 * self.accuracy:.1f} % of its test images. They are not Inception's; compare within this table only."
        )

    def _rows(self) -> list[tuple[str, ...]]:
        head = ("metric", "better", "unit", *(column.heading for column in self.columns))
        rows = [
            (metric.name, metric.direction, metric.unit, *(_cell(value, metric) for value in values))
            for metric, values in zip(self.metrics, self.values, strict=True)
        ]
        return [head, *rows]

    def markdown(self) -> str:
        """The table as Markdown."""
        head, *rows = self._rows()
        rules = ("---", "---", "---", *("---:" for _ in self.columns))
        lines = "".join(f"| {' | '.join(row)} |\n" for row in (head, rules, *rows))
        warnings = "".join(f"* {warning}\n" for warning in self.warnings)
        return f"{self.intro}\n\n{lines}" + (f"\nWarnings:\n\n{warnings}" if warnings else "")

    def show(self, console: Console) -> None:
        """Print the table; where it is too wide, one set of images below the other."""
        head, *rows = self._rows()
        table = Table(title=self.intro, caption="\n".join(self.warnings) or None)
        for index, name in enumerate(head):
            table.add_column(name, justify="left" if index < 3 else "right")
        for row in rows:
            table.add_row(*row)
        names, better, units, *sets = zip(*rows, strict=True)
        by_set = Table("images", *(", ".join(filter(None, each)) for each in zip(names, better, units, strict=True)))
        for name, values in zip(head[3:], sets, strict=True):
            by_set.add_row(name, *values)
        print_table(console, table, by_set)

    def as_json(self) -> dict[str, Any]:
        """The table for JSON; a metric that needs more images than a set has is None."""
        rows = [
            {
                "name": metric.name,
                "better": metric.direction,
                "unit": metric.unit,
                "images_needed": metric.least,
                "values": {column.name: value for column, value in zip(self.columns, values, strict=True)},
            }
            for metric, values in zip(self.metrics, self.values, strict=True)
        ]
        return {
            "data": self.data,
            "classifier_test_accuracy": self.accuracy,
            "warnings": self.warnings,
            "sets": {
                column.name: {"images": len(column.measured), "real": column.real, "notes": list(column.notes)}
                for column in self.columns
            },
            "metrics": rows,
        }


def _cell(value: float | None, metric: Metric) -> str:
    if value is None:
        return f"needs {metric.least}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
