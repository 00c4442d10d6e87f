"""The conditions of a contrast and of a map: what an attribute changes in the class that has it, for another class.

In a denoiser's prediction for birds with spread wings, most is about birds. The difference from the prediction for
birds without spread wings is about wings alone, as far as the denoiser has learned it, and can be added to that for
horses.

Credits: Gandikota et al. 2023 (arXiv 2311.12092, directions from pairs of conditions that differ in one attribute).
"""

from __future__ import annotations

from common.errors import UserError
from gen_models.diffusion.conditions import NO, NULL, YES, Condition, Vocabulary

EXAMPLE = "--base horse --add spread --from bird"
OPPOSITE = {NULL: NULL, YES: NO, NO: YES}


def map_conditions(base: str, add: str, from_: str, vocabulary: Vocabulary) -> tuple[Condition, str, str]:
    """The base, and the regions of a label map for it and for what is added.

    :param base: such as horse
    :param add: an attribute, such as spread
    :param from_: a class, such as bird
    :raises UserError: for a part that is missing or unknown, and for what the label maps do not show
    """
    if not vocabulary.regions:
        raise UserError(
            "--compose map: the run has no label maps; train it with --label-maps spread, or compose otherwise"
        )
    condition = contrast_conditions(base, add, from_, vocabulary, "map")[0]
    places = {vocabulary.parse(region).values: region for region in vocabulary.regions}
    shown = vocabulary.parse(f"{from_}+{add}").values
    body = (condition.values[0], *(0 for _ in condition.values[1:]))
    for values, text in ((body, base), (shown, f"{from_}+{add}")):
        if values not in places:
            raise UserError(f"--compose map: label maps do not show {text} (known: {', '.join(vocabulary.regions)})")
    return condition, places[body], places[shown]


def contrast_conditions(
    base: str, add: str, from_: str, vocabulary: Vocabulary, method: str = "contrast"
) -> tuple[Condition, ...]:
    """The base, ``from_`` with what is added, and ``from_`` with the opposite of each attribute that is added.

    :param base: such as horse
    :param add: one or more attributes, such as spread or no-white
    :param from_: such as bird, or bird+white
    :param method: named in errors
    :raises UserError: for a part that is missing or unknown, and where both conditions would be the same
    """
    for name, text in (("--base", base), ("--add", add), ("--from", from_)):
        if not text.strip():
            raise UserError(f"--compose {method} needs {name}, as in --compose {method} {EXAMPLE}")
    first, last = 1, 1 + len(vocabulary.attributes)
    added, shown = vocabulary.parse(add).values, vocabulary.parse(from_).values
    negated = [OPPOSITE[value] if first <= column < last else NULL for column, value in enumerate(added)]
    given = [other for other, value in zip(shown, negated, strict=True) if value != NULL]
    if any(given):
        raise UserError(
            f"--from {from_} says already whether it is {add}; leave that out, as in --compose {method} {EXAMPLE}"
        )
    with_added = vocabulary.parse(f"{from_}+{add}")
    without = tuple(value or other for value, other in zip(negated, shown, strict=True))
    if without == with_added.values:
        raise UserError(
            f"--add {add} changes nothing in --from {from_}: give an attribute, as in --compose {method} {EXAMPLE}"
        )
    return vocabulary.parse(base), with_added, Condition(f"{from_} without {add}", without)
