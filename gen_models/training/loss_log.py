"""The losses of a training run, in ``loss.csv`` and TensorBoard; raises when they are no longer finite.

Losses stay on the device until a window of steps is full, so that a GPU need not wait for the CPU at each step.

Credits: TensorBoard.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from common.append_log import AppendLog
from common.tracking import Tracker
from gen_models.request import TIMES

WINDOW = 10  # steps
LEVELS = 5
FIRST_LINE = "images,loss,learning_rate,images_per_second\n"  # of a denoiser's


class NotFinite(Exception):
    """The loss or the gradient is no longer finite.

    :param step: the first such step, from 1
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"the loss or its gradient is not finite at step {step}")
        self.step = step


class WindowLog:
    """Means over windows of steps; the main process also writes them.

    A subclass records a row of numbers at each step (``_record``), and says what a window's sums mean (``_summary``).

    :param accelerator: whose processes' rows are added
    :param path: ``loss.csv``
    :param tensorboard: folder of TensorBoard's events
    :param batch_size: images a step, over all processes
    :param state: what ``state`` returned at the checkpoint to resume from
    :param tracker: gets what TensorBoard gets, on the main process; closed with the log
    """

    first_line = ""
    checked = 0  # numbers at the beginning of each row that have to be finite

    def __init__(
        self,
        accelerator: Accelerator,
        path: Path,
        tensorboard: Path,
        batch_size: int,
        state: dict[str, Any] | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.batch_size = batch_size
        self.step = int(state["step"]) if state else 0
        self._rows: list[list[float]] = state["rows"] if state else []
        self._pending: list[Tensor] = []
        self._began = time.monotonic()
        self._steps_before = self.step
        self.file: AppendLog | None = None
        self.board: SummaryWriter | None = None
        self.tracker = tracker
        if accelerator.is_main_process:
            self.file = AppendLog(path, int(state["bytes"]) if state else None, self.first_line)
            # TensorBoard leaves out what an earlier process wrote beyond this point.
            purge = self.step * batch_size + 1 if state else None
            self.board = SummaryWriter(str(tensorboard), purge_step=purge)

    @property
    def words(self) -> str:
        """The last window's losses for people, empty before the first one."""
        raise NotImplementedError

    def _summary(self, totals: list[float], steps: int, learning_rate: float) -> tuple[str, dict[str, float]]:
        """The window's columns in ``loss.csv``, and its scalars.

        :param totals: sums of the rows
        :param steps: number of rows
        """
        raise NotImplementedError

    def _record(self, row: Tensor) -> None:
        """Record a step: a row of numbers, (R,), on the device."""
        self._pending.append(row)
        self.step += 1

    def collect(self) -> None:
        """Fetch the rows from the device and from all processes.

        :raises NotFinite: with the first step whose loss or gradient is not finite
        """
        if not self._pending:
            return
        summed: Tensor = self.accelerator.reduce(torch.stack(self._pending), "sum")
        first = self.step - len(self._pending) + 1
        self._pending = []
        for step, row in enumerate(summed.tolist(), first):
            if not all(math.isfinite(number) for number in row[: self.checked]):
                raise NotFinite(step)
            self._rows.append(row)

    def write_window(self, learning_rate: float) -> None:
        """Write the means since the last call and begin a new window.

        :raises NotFinite: see ``collect``
        :raises UserError: when the disk is full (status 1)
        """
        self.collect()
        if not self._rows:
            return
        totals = [math.fsum(values) for values in zip(*self._rows, strict=True)]
        columns, scalars = self._summary(totals, len(self._rows), learning_rate)
        self._rows = []
        images = self.step * self.batch_size
        now = time.monotonic()
        rate = (self.step - self._steps_before) * self.batch_size / max(now - self._began, 1e-9)
        self._began, self._steps_before = now, self.step
        if self.file is None or self.board is None:
            return
        self.file.write(f"{images},{columns},{rate:.1f}\n")
        scalars = {**scalars, "learning rate": learning_rate, "images per second": rate}
        for name, value in scalars.items():
            self.board.add_scalar(name, value, images)
        if self.tracker is not None:
            self.tracker.log(scalars, images)

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint, after ``collect``; syncs the log to disk."""
        assert self.file is not None and not self._pending
        return {"step": self.step, "rows": self._rows, "bytes": self.file.synced_length()}

    def close(self) -> None:
        """Close the files. May be called again."""
        if self.file is not None:
            self.file.close()
        if self.board is not None:
            self.board.close()
        if self.tracker is not None:
            self.tracker.close()


class LossLog(WindowLog):
    """The losses of a denoiser."""

    first_line = FIRST_LINE
    checked = 2
    loss = math.nan  # of the last window

    @property
    def words(self) -> str:
        """See ``WindowLog``."""
        return "" if math.isnan(self.loss) else f"loss {self.loss:.4f}"

    def add(self, errors: Tensor, weights: Tensor, t: Tensor, norm: Tensor) -> None:
        """Record a step.

        :param errors: squared error of each image, (B,)
        :param weights: of each in the loss, (B,)
        :param t: times, (B,)
        :param norm: of the gradient
        """
        errors = errors.detach()
        level = t * LEVELS // TIMES
        zeros = torch.zeros(LEVELS, device=errors.device)
        sums = zeros.index_add(0, level, errors)
        counts = zeros.index_add(0, level, torch.ones_like(errors))
        self._record(torch.cat([torch.stack([norm, (weights * errors).sum()]), sums, counts]))

    def _summary(self, totals: list[float], steps: int, learning_rate: float) -> tuple[str, dict[str, float]]:
        self.loss = totals[1] / (steps * self.batch_size)
        scalars = {"loss": self.loss, "gradient norm": totals[0] / steps / self.accelerator.num_processes}
        for level in range(LEVELS):
            count = totals[2 + LEVELS + level]
            if count:
                low, high = level * TIMES // LEVELS, (level + 1) * TIMES // LEVELS - 1
                scalars[f"loss by noise level/times {low:03d}-{high}"] = totals[2 + level] / count
        return f"{self.loss:.6g},{learning_rate:.6g}", scalars
