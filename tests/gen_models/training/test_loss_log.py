"""Windows of losses worked out by hand, going on with them, and the stop when a loss is no number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gen_models.training.loss_log import LossLog, NotFinite


@pytest.fixture
def accelerator() -> Accelerator:
    AcceleratorState._reset_state(reset_partial_state=True)  # a test before may have trained with another precision
    return Accelerator(cpu=True, mixed_precision="no")


def add(log: LossLog, errors: list[float], norm: float = 1.0) -> None:
    """A step of two images at times 100 and 950, which count 0.5 and 2."""
    log.add(torch.tensor(errors), torch.tensor([0.5, 2.0]), torch.tensor([100, 950]), torch.tensor(norm))


def rows(path: Path) -> list[list[str]]:
    """Without the rate, which depends on the clock."""
    return [line.split(",")[:3] for line in path.read_text().splitlines()]


def test_means_over_a_window(accelerator: Accelerator, tmp_path: Path) -> None:
    log = LossLog(accelerator, tmp_path / "loss.csv", tmp_path / "board", batch_size=2)
    add(log, [1.0, 3.0], norm=4.0)
    add(log, [2.0, 5.0], norm=2.0)
    log.write_window(0.001)
    log.close()
    # (0.5 + 6 + 1 + 10) / 4 images
    assert rows(tmp_path / "loss.csv") == [["images", "loss", "learning_rate"], ["4", "4.375", "0.001"]]
    board = EventAccumulator(str(tmp_path / "board"))
    board.Reload()
    scalars = {name: board.Scalars(name)[0] for name in board.Tags()["scalars"]}
    assert {name: event.value for name, event in scalars.items() if name != "images per second"} == pytest.approx(
        {
            "loss": 4.375,
            "learning rate": 0.001,
            "gradient norm": 3.0,
            "loss by noise level/times 000-199": 1.5,
            "loss by noise level/times 800-999": 4.0,
        }
    )
    assert all(event.step == 4 for event in scalars.values())


def test_a_window_goes_on_after_a_checkpoint(accelerator: Accelerator, tmp_path: Path) -> None:
    whole = LossLog(accelerator, tmp_path / "whole.csv", tmp_path / "whole", batch_size=2)
    cut = LossLog(accelerator, tmp_path / "cut.csv", tmp_path / "cut", batch_size=2)
    for log in (whole, cut):
        add(log, [1.1, 3.3])
        log.write_window(0.1)
        add(log, [0.123456789, 7.0])
    cut.collect()
    state = json.loads(json.dumps(cut.state()))
    add(cut, [9.0, 9.0])  # these are lost
    cut.write_window(0.5)
    cut.close()
    again = LossLog(accelerator, tmp_path / "cut.csv", tmp_path / "cut", batch_size=2, state=state)
    for log in (whole, again):
        add(log, [2.0, 5.0])
        log.write_window(0.2)
        log.close()
    assert rows(tmp_path / "cut.csv") == rows(tmp_path / "whole.csv")
    boards = []
    for name in ("whole", "cut"):
        board = EventAccumulator(str(tmp_path / name))
        board.Reload()
        boards.append([(event.step, event.value) for event in board.Scalars("loss")])
    assert boards[0] == boards[1] and [step for step, _ in boards[0]] == [2, 6]


@pytest.mark.parametrize(
    ("errors", "norm"), [([float("nan"), 1.0], 1.0), ([1.0, float("inf")], 1.0), ([1.0, 1.0], 1e400)]
)
def test_the_first_step_without_a_finite_loss_is_named(
    accelerator: Accelerator, tmp_path: Path, errors: list[float], norm: float
) -> None:
    log = LossLog(accelerator, tmp_path / "loss.csv", tmp_path / "board", batch_size=2)
    add(log, [1.0, 3.0])
    log.collect()
    add(log, [1.0, 3.0])
    add(log, errors, norm)
    add(log, [float("nan")] * 2)
    with pytest.raises(NotFinite) as raised:
        log.write_window(0.1)
    log.close()
    assert raised.value.step == 3
    assert len(rows(tmp_path / "loss.csv")) == 1
