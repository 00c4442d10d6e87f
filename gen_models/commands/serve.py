"""``run_pegasus.py serve``: a page in the browser that samples batches from a run.

Credits: Gradio, and FastAPI, on which it stands.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from common.errors import UserError
from common.extras import check_installed
from common.run_folder import RunFolder
from gen_models.classifiers.classifier import SETTINGS_FILE, Classifier
from gen_models.images.image_set import ImageSet
from gen_models.judging.judge import CLASSIFIER, FOLDER
from gen_models.options import ServeSettings, check_batch_size
from gen_models.page.scores import Scorer, training_images
from gen_models.page.server import listening, run_server, stop_by_signals
from gen_models.training.run_sampler import load_run_sampler
from gen_models.training.settings import RunSettings


def serve(user: ServeSettings) -> None:
    """Serve the page until a signal arrives.

    :raises UserError: for a run without a checkpoint, an address that does not exist, a port in use (status 1)
    :raises Interrupted: after Ctrl-C or SIGTERM
    """
    check_batch_size(user.batch_size)
    check_installed("gradio")  # imported below, after the run has been loaded
    stop_by_signals()
    with listening(user.host, user.port) as listener, tempfile.TemporaryDirectory(prefix="pegasus-page-") as files:
        sampler = load_run_sampler(user.run, user.checkpoint, user.averaged, user.batch_size, user.device)
        scorer = Scorer(_training_images(user.run), _classifier(user.run, sampler.origin.device))
        os.environ |= {"GRADIO_TEMP_DIR": files, "GRADIO_ANALYTICS_ENABLED": "False"}
        # Imported here, because it takes seconds and reads the variables set above.
        from gen_models.page.page import Page, application

        page = Page(sampler, scorer, Path(files))
        try:
            run_server(application(page, [user.host]), listener, user.host, user.port)
        finally:
            page.close()


def _training_images(run: Path) -> ImageSet | None:
    """The run's training images; None, with a warning, when they are missing: the page then shows no neighbours."""
    try:
        return training_images(RunSettings.from_yaml(RunFolder(run).settings).data)
    except UserError as error:
        print(f"warning: no nearest training images: {error}", file=sys.stderr)
        return None


def _classifier(run: Path, device: str) -> Classifier | None:
    """The latest classifier that ``judge`` trained on the run's data; None where there is none."""
    found = (run / FOLDER / CLASSIFIER).glob(f"*/{SETTINGS_FILE}")
    latest = max(found, key=lambda file: file.stat().st_mtime, default=None)
    if latest is None:
        return None
    try:
        return Classifier.load(latest.parent, device)
    except UserError as error:
        print(f"warning: no own features: {error}", file=sys.stderr)
        return None
