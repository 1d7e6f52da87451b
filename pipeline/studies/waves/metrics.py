"""How far predicted waves a sin(b x) + c cos(d x) are from the true ones: by parameters and by curves.

Parameters are in the order a, b, c, d. They are not unique: (a, b) and (-a, -b) give one curve, and so do d and -d;
where a or c is 0 its frequency is free, and where b is 0 so is a. Curves are what the network sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.scoring import absolute_errors
from pipeline.studies.waves.data import PARAMETERS

# The places of a and b, and of d: whose signs can change together and leave the curve as it is.
SIGNS_TOGETHER = ([0, 1], [3])


@dataclass(frozen=True)
class WavePredictions:
    """True and predicted parameters (n, 4) of rows, and the true and implied curves (n, num_points)."""

    true: NDArray[np.float32]
    predicted: NDArray[np.float32]
    true_curves: NDArray[np.float32]
    implied_curves: NDArray[np.float64]

    @property
    def curve_errors(self) -> NDArray[np.float64]:
        """Absolute differences (n, num_points)."""
        return absolute_errors(self.true_curves, self.implied_curves)


def named(values: Sequence[float] | NDArray[Any]) -> dict[str, float]:
    """Four numbers by the names of the parameters."""
    return {name: float(value) for name, value in zip(PARAMETERS, values, strict=True)}


def row_errors(true: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """The mean absolute error (n,) of each row's parameters (n, 4)."""
    return absolute_errors(true, predicted).mean(axis=1)


def with_nearest_signs(true: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """The predicted parameters (n, 4) with those of their equivalent signs that are nearest to the true ones (n, 4).

    The curves stay the same, and no row's summed error grows.
    """
    fixed = np.array(predicted, dtype=np.float64)
    for together in SIGNS_TOGETHER:
        as_is, turned = (absolute_errors(true[:, together], sign * fixed[:, together]).sum(axis=1) for sign in (1, -1))
        fixed[:, together] *= np.where(turned < as_is, -1, 1)[:, np.newaxis]
    return fixed


def is_determined(true: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of the true parameters (n, 4) their curve determines, up to signs."""
    a, b, c, _ = (np.asarray(true) != 0).T
    return np.stack([b, a, np.ones_like(c), c], axis=1)


def first_and_last_period(errors: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[float, float]:
    """The mean of curve errors (n, num_points) over the first and over the last 2 pi of x (num_points,), in radians."""
    period = 2 * np.pi
    return float(errors[:, x <= x[0] + period].mean()), float(errors[:, x >= x[-1] - period].mean())
