"""How much a stylised video flickers.

Credits: M. Ruder et al. 2016, arXiv 1604.08610, section 6.2 (error against the warped frame before, where it is seen).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gen_models.style.flow import optical_flow, trusted, warped


def warped_error(source: NDArray[np.uint8], stylised: NDArray[np.uint8]) -> float:
    """Mean square difference between each frame and the one before it, warped by the source's flow.

    It is over the pixels that the frame before shows, away from motion boundaries; values are from 0 to 1.

    :param source: the frames as they were, from which the flow is, uint8 (T, H, W, 3)
    :param stylised: frames of the same shape; the source itself gives the error of flow, noise and light
    :return: nan if no frame shows anything of the one before
    """
    total, count = 0.0, 0
    for index in range(1, len(source)):
        before, now = source[index - 1], source[index]
        forward, backward = optical_flow(before, now), optical_flow(now, before)
        mask = trusted(forward, backward)
        difference = stylised[index] / 255 - warped(stylised[index - 1].astype(np.float32), backward) / 255
        total += float(np.square(difference[mask]).sum())
        count += 3 * int(mask.sum())
    return total / count if count else float("nan")
