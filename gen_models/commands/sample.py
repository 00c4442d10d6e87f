"""``run_pegasus.py sample``: samples images from a trained run, and checks that they can be reproduced."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from common.errors import UserError, check_counts
from common.files import new_folder
from common.run_folder import check_name
from gen_models.adversarial.run_sampler import load_sampler
from gen_models.adversarial.sampling import AdversarialSampler
from gen_models.diffusion.samples import Samples
from gen_models.options import MOST_SAMPLES, SampleSettings, check_batch_size
from gen_models.request import SampleRequest
from gen_models.training.run_sampler import RunSampler, sampling_progress


def sample(user: SampleSettings) -> None:
    """Sample and write images, or sample again and compare.

    :raises UserError: for an invalid run, conditions or numbers; with ``again`` for images that differ (status 1)
    """
    check_batch_size(user.batch_size)
    check_counts(MOST_SAMPLES, {"--n": user.n})
    if user.again is not None:
        if user.request != SampleRequest() or user.name or user.checkpoint:
            raise UserError("--again takes the request from the file: give --device besides, and nothing else")
        _again(user, Samples.load(user.again))
        return
    folder = user.run / "samples" / (check_name(user.name) if user.name else free_name(user.run, user.request))
    if folder.exists():
        raise UserError(f"{folder} exists and is not overwritten; choose another --name")
    samples = _samples(_run_sampler(user), user.request, range(user.n))
    with new_folder(folder) as temporary:
        samples.save_folder(temporary)
    print(f"{user.n} images, grid.png and samples.npz are in {folder}")


def _run_sampler(user: SampleSettings) -> RunSampler | AdversarialSampler:
    return load_sampler(user.run, user.checkpoint, user.averaged, user.batch_size, user.device)


def _samples(sampler: RunSampler | AdversarialSampler, request: SampleRequest, indices: Sequence[int]) -> Samples:
    with sampling_progress(len(indices) * request.steps, request.steps) as progress:
        return sampler.sample(request, indices, progress)


def _again(user: SampleSettings, before: Samples) -> None:
    origin = before.origin
    same_settings = replace(user, checkpoint=origin.checkpoint, averaged=origin.averaged, batch_size=origin.batch_size)
    sampler = _run_sampler(same_settings)
    if sampler.origin.weights != origin.weights:
        raise UserError(
            f"{user.again} was sampled with other weights than those of {user.run}/checkpoints/{origin.checkpoint}",
            status=1,
        )
    now = _samples(sampler, before.request, before.indices)
    differences = np.abs(now.images.astype(np.int16) - before.images).max(axis=(1, 2, 3))
    same = int((differences == 0).sum())
    if same == len(differences):
        print(f"all {same} images are the same, bit for bit")
        return
    was, has = ({"device": one.origin.device, **one.origin.versions} for one in (before, now))
    changed = ", ".join(f"{key} {was.get(key)} then, {has[key]} now" for key in has if was.get(key) != has[key])
    raise UserError(
        f"{len(differences) - same} of {len(differences)} images differ, by at most {differences.max()} of 255 "
        f"({changed or 'the same device and packages; another processor or number of threads rounds differently'})",
        status=1,
    )


def free_name(run: Path, request: SampleRequest) -> str:
    """A folder name from method, weights and seed that does not exist yet, such as ``and-horse-3-bird-1.5-seed-0``."""
    words = f"{request.compose}-{request.words}" if request.words else "unconditional"
    base = re.sub(r"[^A-Za-z0-9.]+", "-", f"{words}-seed-{request.seed}").strip("-")
    names = itertools.chain([base], (f"{base}-{k}" for k in itertools.count(2)))
    return next(name for name in names if not (run / "samples" / name).exists())
