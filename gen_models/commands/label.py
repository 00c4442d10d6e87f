"""``run_pegasus.py label``: a page on which a person labels images with the keyboard.

Credits: see gen_models/labelling/, whose parts this command puts together.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import check_at_least
from common.extras import check_installed
from common.progress import progress_of
from gen_models.classifiers.hand_labels import check_attribute, with_hand_labels
from gen_models.classifiers.patch_features import patch_features
from gen_models.diffusion.conditions import Vocabulary
from gen_models.images.image_set import UNKNOWN, ImageSet
from gen_models.images.loaders import Split, load_images
from gen_models.labelling.label_file import LabelFile
from gen_models.labelling.options import LabelSettings
from gen_models.labelling.session import LabellingSession
from gen_models.page.server import listening, run_server, stop_by_signals

SMALL = ("cifar10", "npz", "sprites")  # sources whose images are shown at 32 pixels
SMALL_SIZE, LARGE_SIZE = 32, 96


def label(user: LabelSettings) -> None:
    """Serve the page until a signal arrives, and say at the end what was labelled.

    :raises UserError: for images or labels that cannot be read, labels that contradict each other, an attribute that
        cannot be asked for, a port in use (status 1)
    :raises Interrupted: after Ctrl-C or SIGTERM
    """
    for library in ("starlette", "uvicorn"):
        check_installed(library)  # imported below, after the images have been loaded
    check_at_least(0, {"--seed": user.seed})
    check_at_least(8, {"--size": user.size})
    attribute = check_attribute(user.attribute.strip().lower(), "--attribute")
    stop_by_signals()
    with listening(user.host, user.port) as listener:
        session = open_session(user, attribute)
        try:
            from gen_models.labelling.page import application

            run_server(application(session, [user.host]), listener, user.host, user.port)
        finally:
            session.close()
            print(", ".join(f"{name} {value}" for name, value in session.figures()))
            differing = session.agreement().differing
            if differing:
                print(f"answered otherwise when shown again, label kept: {', '.join(differing)}")


def open_session(user: LabelSettings, attribute: str) -> LabellingSession:
    """Load images and labels, find features, and learn from the labels that are there."""
    everything = _images(user, user.split)
    Vocabulary(everything.class_names, (attribute,), everything.source_names)  # refuses names that are taken
    path = user.labels or Path(f"{everything.source_names[0]}-labels.csv")
    file = LabelFile(path, attribute)
    known = with_hand_labels(everything, file.labels, lambda: _images(user, "all"))
    images = known if user.classes is None else known.only(user.classes)
    labels = images.attributes.get(attribute, np.full(len(images), UNKNOWN, np.int8))
    if attribute not in file.attributes:
        others = f", beside {', '.join(file.attributes)}" if file.attributes else ""
        print(f"{attribute} is a new attribute of {path}{others}", file=sys.stderr)
    with progress_of("looking at the images") as progress:
        features = patch_features(images.images, user.seed, progress=progress)
    return LabellingSession(images, features, labels, file, user.seed)


def _images(user: LabelSettings, split: Split) -> ImageSet:
    """The images of all classes, without the attributes that drawings have by themselves."""
    size = user.size or (SMALL_SIZE if user.data.partition(":")[0] in SMALL else LARGE_SIZE)
    return replace(load_images([user.data], size, None, split, user.downloads), attributes={})
