"""``python -m tune gravitar`` and ``pegasus``: open a study and run its trials."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from common.errors import UserError
from common.launch import Refused, check_launch
from tune.options import GravitarCommand, PegasusCommand
from tune.settings import write_settings


def search(user: GravitarCommand | PegasusCommand) -> None:
    """Open the study, run its workers, and print the next commands.

    :raises UserError: for an unknown name, a study with another definition, or a storage that cannot be reached
    """
    # Imported here, so that the other commands of run_gravitar.py start without Optuna.
    import optuna

    from tune.plan import tally
    from tune.samplers import check_names
    from tune.search import open_study
    from tune.storage import open_url, redacted, storage_url
    from tune.tasks import make_task
    from tune.workers import run_workers

    check_launch(user.launch)
    if user.study.storage and "://" not in user.study.storage and Path(user.study.storage).suffix != ".log":
        raise UserError(
            f"--storage {user.study.storage}: write sqlite:///FILE, postgresql://USER@HOST/NAME, or a journal's "
            "path that ends in .log"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    resolved = user.study.resolved()
    url = storage_url(resolved)
    settings = dataclasses.replace(resolved, storage=redacted(resolved.storage) if resolved.storage else "")
    # Bad settings are refused before anything is written.
    task = make_task(settings)
    check_names(settings.sampler, settings.pruner, len(task.directions), settings.seeds)
    new = not settings.folder.exists()
    settings.folder.mkdir(parents=True, exist_ok=True)
    study = open_study(settings, open_url(url), task)
    write_settings(settings)
    print(f"study {settings.name}: {settings.trials} trials, --seeds {settings.seeds}, in {settings.folder}")
    try:
        run_workers(settings, url, user.launch)
    except Refused:
        if new:  # nothing has run
            shutil.rmtree(settings.folder)
        raise
    count = tally(study, settings.retries)
    print(f"{count.finished} of {count.planned} trials are over: {count.complete} finished, {count.pruned} pruned, "
          f"{count.failed} failed")  # fmt: skip
    print(f"see them with: python -m tune report {settings.folder}")
    if len(study.directions) == 1 and count.complete > 1:
        print(f"find out what is luck with: python -m tune confirm {settings.folder}")
