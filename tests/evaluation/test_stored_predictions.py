from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config.models import Objective
from pipeline.errors import PipelineError
from pipeline.evaluation import scoring
from pipeline.evaluation.stored_predictions import Predictions, read_predictions
from pipeline.io import storage
from pipeline.io.paths import Workspace

LABELS = np.array([0, 2, 1, 1], np.uint8)
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0], [0.5, 0.4, 0.1], [0.3, 0.6, 0.1]], np.float32)


@pytest.mark.parametrize("objective", ["categorical_crossentropy", "binary_crossentropy"])
def test_the_mean_loss_is_the_cross_entropy_that_is_scored(objective: Objective) -> None:
    losses = Predictions(PROBABILITIES, LABELS).losses(objective)
    assert losses.shape == (4,)
    expected = scoring.score(PROBABILITIES, LABELS, 0.0, objective).cross_entropy
    assert losses.mean() == pytest.approx(expected, rel=1e-12)


def test_correct_are_those_with_their_label_as_the_most_probable_class() -> None:
    assert Predictions(PROBABILITIES, LABELS).correct.tolist() == [True, True, False, True]


def test_a_shared_variant_is_read_where_it_was_evaluated(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for study, probabilities in (("first", PROBABILITIES), ("second", PROBABILITIES[:, ::-1])):
        path = workspace.predictions(study) / "wide.npz"
        storage.write_arrays(path, probabilities=probabilities, labels=LABELS)
    found = read_predictions(workspace, {"wide": "second"})
    assert found["wide"].probabilities.tolist() == PROBABILITIES[:, ::-1].tolist()


def test_other_test_examples_are_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name, labels in (("narrow", LABELS), ("wide", LABELS[::-1])):
        storage.write_arrays(workspace.predictions("first") / f"{name}.npz", probabilities=PROBABILITIES, labels=labels)
    with pytest.raises(PipelineError, match=r"wide\.npz: expected the test examples .* Run `dvc repro evaluate@first`"):
        read_predictions(workspace, {"narrow": "first", "wide": "first"})
