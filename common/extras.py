"""Libraries that only some commands need, and the extras of this package that bring them."""

from __future__ import annotations

import importlib.util

from common.errors import UserError

EXTRAS = {
    "Box2D": "walker",
    "gradio": "page",
    "optuna_dashboard": "search",
    "psycopg": "search",
    "pygame": "window",
    "starlette": "page",
    "torchmetrics": "judge",
    "wandb": "track",
    "trackio": "track",
    "mlflow": "track",
    "uvicorn": "page",
}


def check_installed(name: str) -> None:
    """For a library that is imported later, after work that would be lost.

    :raises ModuleNotFoundError: when it is not installed
    """
    if importlib.util.find_spec(name) is None:
        raise ModuleNotFoundError(name, name=name)


def missing_extra(error: Exception) -> UserError | None:
    """What to install, for the import of a library that an extra brings; None for any other error."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name not in EXTRAS:
        return None
    return UserError(f"this needs {name}, which is not installed: pip install 'gravitar-pegasus[{EXTRAS[name]}]'")
