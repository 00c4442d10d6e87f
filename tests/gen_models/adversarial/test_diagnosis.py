"""What losses say: a network that is never updated, one that is blind, one that has won, and a good training."""

from __future__ import annotations

import dataclasses

import pytest

from gen_models.adversarial.diagnosis import LASTING, Window, findings

GOOD = Window(generator=1.5, real=0.5, fake=0.4, generator_change=1e-3, discriminator_change=1e-3)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"generator_change": 0.0}, ["the generator is not updated"]),
        ({"discriminator_change": 0.0}, ["the discriminator is not updated"]),
        ({"real": 0.001, "fake": 7.0, "generator": 0.001}, ["the discriminator learns from real images alone"]),
        ({"real": 0.001, "fake": 0.001, "generator": 9.0}, ["the discriminator tells all images apart"]),
    ],
)
def test_findings(changes: dict[str, float], found: list[str]) -> None:
    windows = [dataclasses.replace(GOOD, **changes)] * LASTING
    texts = findings(windows)
    assert len(texts) == len(found) and all(text.startswith(begin) for text, begin in zip(texts, found, strict=True))


def test_losses_have_to_last() -> None:
    won = dataclasses.replace(GOOD, real=0.001, fake=0.001)
    assert findings([won] * (LASTING - 1)) == [] and findings([*[won] * (LASTING - 1), GOOD]) == []
    assert findings([GOOD, *[won] * LASTING]) != []
