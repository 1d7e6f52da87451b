"""What the variants of a study predict of its test set, as `evaluate` saved it, example by example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config.models import Objective
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring
from pipeline.io import storage
from pipeline.io.paths import Workspace


@dataclass(frozen=True)
class Predictions:
    """Predicted probabilities (n, num_classes) and true labels (n,) of the test examples."""

    probabilities: NDArray[np.float32]
    labels: NDArray[np.uint8]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which examples (n,) are classified correctly."""
        return scoring.predicted_classes(self.probabilities) == self.labels

    def losses(self, objective: Objective) -> NDArray[np.float64]:
        """The cross-entropy in nats of each example (n,); their mean is that of `scoring.score`."""
        probabilities = self.probabilities.astype(np.float64)
        clipped = np.clip(probabilities, scoring.KERAS_EPSILON, 1 - scoring.KERAS_EPSILON)
        is_label = self.labels[:, np.newaxis] == np.arange(clipped.shape[1])
        if objective == "binary_crossentropy":
            return -np.log(np.where(is_label, clipped, 1 - clipped)).mean(axis=1)
        return -np.log(clipped[is_label])


def read_predictions(workspace: Workspace, studies: Mapping[str, str]) -> dict[str, Predictions]:
    """The predictions of variants; `studies` tells by variant whose evaluation made them.

    Raises PipelineError when a file is missing or damaged, or when not all were tested on the same examples.
    """
    found: dict[str, Predictions] = {}
    for name, study in studies.items():
        path = workspace.predictions(study) / f"{name}.npz"
        item = Predictions(*storage.read_arrays(path, "probabilities", "labels"))
        expected = next(iter(found.values()), item)
        if not np.array_equal(item.labels, expected.labels):
            raise PipelineError(
                f"{path}: expected the test examples that the other variants have, got others. "
                f"Run `dvc repro evaluate@{study}`."
            )
        found[name] = item
    return found
