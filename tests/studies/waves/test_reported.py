from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.studies.waves.reported import ReportedWaves, reported_waves


def params(**changes: Any) -> Params:
    signal = {
        "title": "Waves",
        "num_points": 5,
        "length_in_pi": 2,
        "train_size": 3,
        "validation_size": 3,
        "test_size": 3,
        "seed": 7,
        "example": [0, 0, 0, 0],
        "extended": [[0, 0, 0, 0]],
    }
    regressor = {
        "study": "hums",
        "dataset": "hums",
        "family": "regressor",
        "engine": "jax",
        "layers": [{"units": 3}],
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "batch_size": 8,
        "epochs": 2,
    }
    return Params.model_validate(
        {
            "compute": {"seed": 1, "threads": 1},
            "sources": {},
            "datasets": {},
            "studies": {},
            "tasks": {},
            "variants": {},
            "signals": {"hums": {**signal, **changes}},
            "regressors": {"narrow": regressor, "wide": regressor},
        }
    )


def test_errors_are_by_regressor_and_predictions_by_the_true_wave(tmp_path: Path) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text(
        "hums:\n"
        "  narrow: {params: 12, reported: {test_mae: 0.25}}\n"
        "  wide: {reported: null}\n"
        "  gone: {reported: {test_mae: 0.5}}\n"
        "  extended_test:\n"
        "    - {true: [0, 0, 0, 0], reported_prediction: [0.5, -1, 0, 2]}\n"
        "    - {'true': [1, 2, 3, 4.5], reported_prediction: [1, 2, 3, 4]}\n"
    )
    assert reported_waves(path, params(), "hums") == ReportedWaves(
        {"narrow": 0.25}, {(0, 0, 0, 0): (0.5, -1, 0, 2), (1, 2, 3, 4.5): (1, 2, 3, 4)}
    )


@pytest.mark.parametrize("text", ["other: {}\n", "hums:\n"])
def test_a_study_without_figures_reports_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text(text)
    assert reported_waves(path, params(), "hums") == ReportedWaves()


def test_of_a_demonstration_the_file_is_not_read(tmp_path: Path) -> None:
    assert reported_waves(tmp_path / "missing.yaml", params(demonstration=True), "hums") == ReportedWaves()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "expected a mapping of studies, got list."),
        ("hums: [", "expected YAML, but it cannot be parsed"),
        ("hums: [1]", "hums: expected a mapping, got [1]"),
        ("hums: {narrow: 3}", "hums.narrow: expected a mapping, got 3"),
        ("hums: {narrow: {reported: 3}}", "hums.narrow.reported: expected a mapping, got 3"),
        (
            "hums: {narrow: {reported: {test_mae: -0.1}}}",
            "hums.narrow.reported.test_mae: expected an error of 0 or more, got -0.1.",
        ),
        (
            "hums: {narrow: {reported: {test_mae: yes}}}",
            "hums.narrow.reported.test_mae: expected an error of 0 or more, got 'yes'.",
        ),
        ("hums: {extended_test: {a: 1}}", "hums.extended_test: expected a list of rows, got {'a': 1}"),
        (
            "hums: {extended_test: [{true: [1, 2, 3, 4]}]}",
            "hums.extended_test[0].reported_prediction: expected four numbers (a, b, c, d), got None",
        ),
        (
            "hums: {extended_test: [{true: [1, 2, 3], reported_prediction: [1, 2, 3, 4]}]}",
            "hums.extended_test[0].true: expected four numbers (a, b, c, d), got [1, 2, 3]",
        ),
    ],
)
def test_what_is_malformed_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError) as raised:
        reported_waves(path, params(), "hums")
    assert str(raised.value).startswith(f"{path}: {expected}")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "reported_results.yaml"
    with pytest.raises(PipelineError, match="the file is missing"):
        reported_waves(path, params(), "hums")


def test_the_projects_file_tells_a_prediction_for_every_extended_wave(repository: Path) -> None:
    project = load_params(repository)
    reported = reported_waves(repository / "reported_results.yaml", project, "sine-waves")
    assert reported.mean_absolute_errors == {"sine_64x16": 0.0357}
    assert set(reported.predictions) == set(project.signals["sine-waves"].extended)
    assert reported.predictions[0, 0, 1, 2] == (-0.0413, -0.019, 0.4632, -0.3943)
