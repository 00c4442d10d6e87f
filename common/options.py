"""What the options of several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]
TrackerName = Literal["wandb", "trackio", "mlflow"]


@dataclass(frozen=True, kw_only=True)
class Command:
    """Settings of every command."""

    debug: bool = False
    """Show a traceback after an error."""
