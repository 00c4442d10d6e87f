"""The task "unique integers": an LSTM says how many different integers a sequence has, with noisy activations or not.

    python -m bench.unique_integers                                             # fifteen minutes of a core
    python -m bench.unique_integers --hidden 32 --batch 32 --updates 400 --learning-rate 5e-3      # one minute

Each recipe is an LSTM with one hidden layer behind it, whose gates and cells have the named functions. Sequences are
drawn anew for each batch, so there is nothing to overfit; the error is that on sequences of a seed of its own, without
noise.

Credits: C. Gulcehre et al. 2016 (arXiv 1603.00391), table 5, for the task and for c from 30 to 0.5; S. Hochreiter and
J. Schmidhuber 1997 for the LSTM.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from common.errors import UserError, nearest
from common.files import write_atomic
from common.seeds import derive_seed
from common.tables import print_table
from rl.algorithms.activations import NoisyActivation, activation_of

# Of the gates, and of cells and the hidden layer.
RECIPES: dict[str, tuple[str, str]] = {
    "soft": ("sigmoid", "tanh"),
    "hard": ("hard-sigmoid", "hard-tanh"),
    "constant": ("nan-hard-sigmoid:c=0.5", "nan-hard-tanh:c=0.5"),
    "annealed": ("nan-hard-sigmoid:c=30-0.5", "nan-hard-tanh:c=30-0.5"),
    "input": ("nani-hard-sigmoid", "nani-hard-tanh"),
}
MEANING = {
    "soft": "sigmoid and tanh",
    "hard": "hard-sigmoid and hard-tanh, no noise",
    "constant": "NAN, c 0.5",
    "annealed": "NAN, c from 30 to 0.5",
    "input": "NANI, c 0.05",
}
TESTED = 4_000  # sequences


@dataclass(frozen=True)
class Settings:
    """Compare activation functions on the task."""

    recipes: tuple[str, ...] = tuple(RECIPES)
    """Which: soft, hard, constant, annealed, input."""
    length: int = 10
    """Integers in a sequence, at least 2."""
    values: int = 10
    """Different integers, at least 2."""
    hidden: int = 64
    """Units of the LSTM and of the layer behind it."""
    updates: int = 6_000
    """Gradient steps of a training."""
    batch: int = 64
    """Sequences in a batch."""
    learning_rate: float = 2e-3
    """Adam's."""
    seeds: int = 3
    """Trainings of each recipe, with the seeds 0, 1, ..."""
    json: Path | None = None
    """Where all errors go as JSON."""


class Counter(nn.Module):
    """The LSTM, and how many different integers it has seen, as logits for 1 to ``length``."""

    def __init__(self, settings: Settings, gate: Callable[[], nn.Module], cell: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.settings = settings
        units = settings.hidden
        self.embedding = nn.Embedding(settings.values, units)
        self.inputs, self.recurrent = nn.Linear(units, 4 * units), nn.Linear(units, 4 * units, bias=False)
        self.gate, self.candidate, self.output = gate(), cell(), cell()
        self.hidden, self.middle, self.head = nn.Linear(units, units), cell(), nn.Linear(units, settings.length)
        for layer, count in ((self.gate, 3), (self.candidate, 1), (self.output, 1), (self.middle, 1)):
            if isinstance(layer, NoisyActivation):
                layer.set_units(count * units)
        with torch.no_grad():
            self.inputs.bias[units : 2 * units] += 1  # the forget gate is open at first

    def forward(self, sequences: Tensor) -> Tensor:
        """From int64 (B, length) to logits (B, length)."""
        units = self.settings.hidden
        inputs = self.inputs(self.embedding(sequences))
        output = memory = inputs.new_zeros(len(sequences), units)
        for step in range(sequences.shape[1]):
            total = inputs[:, step] + self.recurrent(output)
            take, keep, give = self.gate(total[:, : 3 * units]).chunk(3, dim=1)
            memory = keep * memory + take * self.candidate(total[:, 3 * units :])
            output = give * self.output(memory)
        logits: Tensor = self.head(self.middle(self.hidden(output)))
        return logits


def sequences_of(settings: Settings, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences int64 (count, length), and the number of their different integers less 1, int64 (count,).

    Each has a number of values of its own to draw from, so that all answers occur.
    """
    most = torch.randint(1, settings.values + 1, (count, 1), generator=generator)
    order = torch.rand(count, settings.values, generator=generator).argsort(dim=1)
    places = (torch.rand(count, settings.length, generator=generator) * most).long()
    sequences = order.gather(1, places)
    present = torch.zeros(count, settings.values).scatter_(1, sequences, 1.0)
    return sequences, present.sum(dim=1).long() - 1


def trained_error(settings: Settings, recipe: str, seed: int) -> float:
    """The share of wrong answers after a training, 0 to 1."""
    torch.manual_seed(derive_seed((seed, 0)))  # the first weights
    draws = torch.Generator().manual_seed(derive_seed((seed, 1)))
    noise = torch.Generator().manual_seed(derive_seed((seed, 2)))
    gate, cell = (activation_of(spec, f"recipe {recipe}") for spec in RECIPES[recipe])
    model = Counter(settings, gate, cell)
    noisy = [layer for layer in model.modules() if isinstance(layer, NoisyActivation)]
    for layer in noisy:
        layer.draw = lambda x: torch.randn(x.shape, generator=noise)
    optimizer = torch.optim.Adam(model.parameters(), settings.learning_rate)
    for update in range(settings.updates):
        for layer in noisy:
            layer.anneal(update / max(settings.updates - 1, 1))
        sequences, answers = sequences_of(settings, settings.batch, draws)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(sequences), answers).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    sequences, answers = sequences_of(settings, TESTED, torch.Generator().manual_seed(derive_seed((seed, 3))))
    with torch.no_grad():
        return float((model(sequences).argmax(dim=1) != answers).float().mean())


def check(settings: Settings) -> None:
    """:raises UserError: for an unknown recipe or a number out of range"""
    for name in settings.recipes:
        if name not in RECIPES:
            raise UserError(f"unknown recipe '{name}' (known: {', '.join(RECIPES)}){nearest(name, RECIPES)}")
    if min(settings.length, settings.values) < 2 or min(settings.hidden, settings.updates, settings.batch) < 1:
        raise UserError("--length and --values must be at least 2; --hidden, --updates and --batch at least 1")
    if settings.seeds < 1 or not settings.learning_rate > 0:
        raise UserError("--seeds must be at least 1, and --learning-rate above 0")


def main() -> None:
    """Train each recipe with each seed, and print the table."""
    settings = tyro.cli(Settings)
    try:
        check(settings)
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    errors: dict[str, list[float]] = {}
    title = f"{settings.length} integers of {settings.values}, {settings.updates:,} updates of {settings.batch}"
    table = Table(title=title, caption="error: share of wrong answers; mean and range over the seeds")
    for column in ("recipe", "activation functions", "error (%)", "range", "seconds a training"):
        table.add_column(column, justify="left" if column in ("recipe", "activation functions") else "right")
    for recipe in settings.recipes:
        began = time.process_time()
        errors[recipe] = [trained_error(settings, recipe, seed) for seed in range(settings.seeds)]
        seconds = (time.process_time() - began) / settings.seeds
        percent = 100 * np.array(errors[recipe])
        spread = f"{percent.min():.1f} to {percent.max():.1f}"
        table.add_row(recipe, MEANING[recipe], f"{percent.mean():.1f}", spread, f"{seconds:.0f}")
        print(f"{recipe}: {', '.join(f'{value:.1f} %' for value in percent)}", flush=True)
    print_table(Console(), table)
    if settings.json is not None:
        write_atomic(settings.json, json.dumps(errors, indent=1) + "\n")


if __name__ == "__main__":
    main()
