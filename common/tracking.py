"""Experiment trackers: what a training writes to TensorBoard also goes to wandb, trackio or mlflow.

Each tracker is the library's own, as accelerate drives it. Where it sends its figures is the library's matter
(``WANDB_MODE=offline``, ``TRACKIO_DIR``, ``MLFLOW_TRACKING_URI``). A run that resumes goes on with the same one, whose
identifier is kept in the run folder as ``tracking.json``.

Credits: accelerate's trackers.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.extras import check_installed
from common.files import write_atomic
from common.options import TrackerName
from common.records import plain

FILE = "tracking.json"


class Tracker:
    """A run of an experiment tracker.

    :param name: the library
    :param task: the project or experiment that the run is put into
    :param folder: of the run; its name becomes the run's
    :param settings: a dataclass, kept as the run's configuration
    :raises ModuleNotFoundError: when the library is not installed
    :raises UserError: when it cannot begin (status 1)
    """

    def __init__(self, name: TrackerName, task: str, folder: Path, settings: Any) -> None:
        check_installed(name)
        from accelerate import PartialState
        from accelerate.tracking import MLflowTracker, TrackioTracker, WandBTracker

        PartialState()  # accelerate's loggers need one
        before = _identifier(folder / FILE, name)
        identifier = before or secrets.token_hex(8)
        try:
            if name == "wandb":
                arguments = {"name": folder.name, "id": identifier, "resume": "allow", "dir": str(folder)}
                self._tracker: Any = WandBTracker(task, **arguments)
            elif name == "trackio":
                self._tracker = TrackioTracker(task, name=f"{folder.name}-{identifier}", resume="allow")
            else:
                self._tracker = MLflowTracker(task, run_id=before, run_name=folder.name)
            self._tracker.start()
            if name == "mlflow":
                identifier = self._tracker.active_run.info.run_id
            if before is None:
                self._tracker.store_init_configuration(flat(plain(settings)))
        except Exception as error:
            raise UserError(f"{name} cannot begin: {error}", status=1) from error
        write_atomic(folder / FILE, json.dumps({name: identifier}) + "\n")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Send numbers.

        :param step: agent steps, or images trained on
        """
        self._tracker.log(dict(values), step=step)

    def close(self) -> None:
        """Tell the tracker that the run has ended. May be called again."""
        if self._tracker is not None:
            self._tracker.finish()
            self._tracker = None


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with one level, as trackers keep configurations: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``.

    Whatever is not a number or a truth value becomes text.
    """
    result: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value if isinstance(value, bool | int | float) else str(value)
    return result


def _identifier(file: Path, name: str) -> str | None:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    found = content.get(name) if isinstance(content, dict) else None
    return found if isinstance(found, str) else None
