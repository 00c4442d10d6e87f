"""``run_pegasus.py train`` and ``resume``: of a denoiser or of a DCGAN; ``resume`` also of a colouriser."""

from __future__ import annotations

from gen_models.adversarial import trainer as adversarial
from gen_models.adversarial.settings import is_adversarial
from gen_models.colourisation import trainer as colourisation
from gen_models.colourisation.settings import is_colouriser
from gen_models.options import ResumeSettings, TrainSettings
from gen_models.training import loop as diffusion


def train(user: TrainSettings) -> None:
    """Train a run of the model that is asked for.

    :raises UserError: for invalid settings or images, and for a run that exists, unless it is to be resumed
    """
    (adversarial if user.model == "dcgan" else diffusion).train(user)


def resume(user: ResumeSettings) -> None:
    """Resume a run of any model.

    :raises UserError: when it cannot be resumed, or another process is training in its folder
    """
    if is_colouriser(user.run):
        colourisation.resume(user)
        return
    (adversarial if is_adversarial(user.run) else diffusion).resume(user)
