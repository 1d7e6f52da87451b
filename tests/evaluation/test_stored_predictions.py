from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config.models import Objective
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring, stored_predictions
from pipeline.evaluation.stored_predictions import StoredPredictions
from pipeline.io import storage

LABELS = np.array([0, 2, 1, 1], np.uint8)
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1]], np.float32)


@pytest.mark.parametrize("objective", ["categorical_crossentropy", "binary_crossentropy"])
def test_the_mean_loss_is_the_cross_entropy_that_is_scored(objective: Objective) -> None:
    losses = StoredPredictions(PROBABILITIES, LABELS).losses(objective)
    assert losses.shape == (4,)
    expected = scoring.score(PROBABILITIES, LABELS, 0.0, objective).cross_entropy
    assert losses.mean() == pytest.approx(expected, rel=1e-12)


def test_correct_are_those_with_their_label_as_the_most_probable_class() -> None:
    assert StoredPredictions(PROBABILITIES, LABELS).correct.tolist() == [True, True, False, True]


def test_each_variant_is_read_where_it_was_evaluated(tmp_path: Path) -> None:
    paths = {"wide": tmp_path / "first" / "wide.npz", "narrow": tmp_path / "second" / "narrow.npz"}
    for path, probabilities in zip(paths.values(), (PROBABILITIES, PROBABILITIES[:, ::-1]), strict=True):
        storage.write_arrays(path, probabilities=probabilities, labels=LABELS)
    found = stored_predictions.read_all(paths)
    assert found["wide"].probabilities.tolist() == PROBABILITIES.tolist()
    assert found["narrow"].probabilities.tolist() == PROBABILITIES[:, ::-1].tolist()


def test_other_test_examples_are_named(tmp_path: Path) -> None:
    paths = {name: tmp_path / "first" / f"{name}.npz" for name in ("narrow", "wide")}
    for path, labels in zip(paths.values(), (LABELS, LABELS[::-1]), strict=True):
        storage.write_arrays(path, probabilities=PROBABILITIES, labels=labels)
    with pytest.raises(PipelineError, match=r"wide\.npz: expected the test examples .* Run `dvc repro evaluate@first`"):
        stored_predictions.read_all(paths)
