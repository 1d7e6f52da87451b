"""What classifiers predict of the test set, example by example, as `evaluate` saved it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config.models import Objective
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring
from pipeline.io import storage


@dataclass(frozen=True)
class StoredPredictions:
    """Predicted probabilities (n, num_classes) and true labels (n,) of the test examples."""

    probabilities: NDArray[np.float32]
    labels: NDArray[np.uint8]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which examples (n,) are classified correctly."""
        return scoring.is_correct(self.probabilities, self.labels)

    def losses(self, objective: Objective) -> NDArray[np.float64]:
        """The cross-entropy in nats of each example (n,)."""
        return scoring.example_losses(self.probabilities, self.labels, objective)


def read(path: Path) -> StoredPredictions:
    """The predictions of one variant. Raises PipelineError when the file is missing or damaged."""
    return StoredPredictions(*storage.read_arrays(path, "probabilities", "labels"))


def read_all(paths: Mapping[str, Path]) -> dict[str, StoredPredictions]:
    """The predictions of variants by name; a file lies in a folder named after the study that was evaluated.

    Raises PipelineError when a file is missing or damaged, or when not all were tested on the same examples.
    """
    found = {name: read(path) for name, path in paths.items()}
    for name, item in found.items():
        if not np.array_equal(item.labels, next(iter(found.values())).labels):
            raise PipelineError(
                f"{paths[name]}: expected the test examples that the other variants have, got others. "
                f"Run `dvc repro evaluate@{paths[name].parent.name}`."
            )
    return found
