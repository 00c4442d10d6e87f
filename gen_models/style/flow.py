"""Optical flow, what it warps, and where it can be trusted.

A flow from picture a to picture b is float32 (H, W, 2): the pixel of a at (x, y) is in b at (x + u, y + v).

Credits: M. Ruder, A. Dosovitskiy, T. Brox 2016, arXiv 1604.08610, sections 4.2 and 4.3 (masks and weights), after
N. Sundaram et al. 2010 (occlusions and motion boundaries). T. Kroeger et al. 2016, arXiv 1603.03590 (DIS), and OpenCV.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Flow = NDArray[np.float32]
Mask = NDArray[np.bool_]
Weights = NDArray[np.float32]

LEAST_SIDE = 32  # pixels; DIS works in patches of 8 and on coarser pictures


def optical_flow(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Flow:
    """The flow from one picture to another by DIS, on one thread: its stripes, and so its result, depend on threads.

    :param a, b: uint8 (H, W, 3) RGB of the same size
    """
    grey_a, grey_b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (a, b))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        flow = method.calc(grey_a, grey_b, None)  # type: ignore[call-overload]
    finally:
        cv2.setNumThreads(threads)
    return np.asarray(flow, np.float32)


def _targets(flow: Flow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each pixel goes: x and y, float32 (H, W)."""
    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    return columns + flow[..., 0], rows + flow[..., 1]


def warped(picture: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """The picture that a flow's source would be, made of its target's pixels: out(p) = picture(p + flow(p)).

    :param picture: float32 (H, W, C); between pixels it is bilinear, outside it goes on as at its edge
    :param flow: from the picture to be made to ``picture``
    """
    x, y = _targets(flow)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _square(flow: Flow) -> NDArray[np.float32]:
    return np.asarray(np.square(flow).sum(axis=-1), np.float32)


def disoccluded(forward: Flow, backward: Flow) -> Mask:
    """The pixels of the later picture that the earlier one does not show, bool (H, W).

    With w the forward flow, w' the backward flow and w~(p) = w(p + w'(p)):
    |w~ + w'|^2 > 0.01 (|w~|^2 + |w'|^2) + 0.5.

    :param forward: from the earlier to the later picture
    :param backward: from the later to the earlier one
    """
    there = warped(forward, backward)
    return np.asarray(_square(there + backward) > 0.01 * (_square(there) + _square(backward)) + 0.5)


def motion_boundaries(backward: Flow) -> Mask:
    """The pixels where the motion changes: |grad u|^2 + |grad v|^2 > 0.01 |w'|^2 + 0.002, bool (H, W).

    Gradients are central differences.
    """
    gradients = np.gradient(backward, axis=(0, 1))
    return np.asarray(_square(gradients[0]) + _square(gradients[1]) > 0.01 * _square(backward) + 0.002)


def _outside(flow: Flow) -> Mask:
    x, y = _targets(flow)
    height, width = flow.shape[:2]
    return np.asarray((x < 0) | (x > width - 1) | (y < 0) | (y > height - 1))


def trusted(forward: Flow, backward: Flow) -> Mask:
    """c of the paper: the later picture's pixels that the earlier one shows, away from motion boundaries, bool (H, W).

    Pixels that come from outside the earlier picture are not among them.

    :param forward, backward: see ``disoccluded``
    """
    return ~(disoccluded(forward, backward) | motion_boundaries(backward) | _outside(backward))


def long_term_weights(masks: Sequence[Mask]) -> list[Weights]:
    """c_long of the paper: each pixel counts for the nearest picture that shows it, and for no other.

    c_long(i-j) = max(c(i-j) - sum of c(i-k) over the nearer k, 0)

    :param masks: ``trusted`` for each picture, the nearest first
    :return: 0 or 1 for each, float32 (H, W)
    """
    weights = []
    taken = np.zeros(masks[0].shape if masks else (0, 0), np.float32)
    for mask in masks:
        weights.append(np.maximum(mask.astype(np.float32) - taken, 0))
        taken += mask
    return weights
