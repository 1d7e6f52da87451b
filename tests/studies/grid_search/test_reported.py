from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.studies.grid_search.reported import ReportedRefit, ReportedSearch, reported_refits, reported_searches

IDX_FILES = {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}
EMBEDDED = {"kind": "embedded", "images": "digits", "train_size": 9, "test_size": 9, "seed": 0}
COMMON = {
    "study": "first",
    "dataset": "shapes",
    "optimizer": {"name": "adam", "learning_rate": 0.1},
    "batch_size": 8,
    "epochs": 3,
}


def params(source: dict[str, Any] = IDX_FILES) -> Params:
    derived = {**COMMON, "family": "mlp", "engine": "jax", "layers_from": "grid"}
    return Params.model_validate(
        {
            "compute": {"seed": 1, "threads": 1},
            "sources": {"shapes": source},
            "datasets": {
                "shapes": {
                    "title": "Shapes",
                    "source": "shapes",
                    "classes": ["disc", "star"],
                    "split": {"validation_size": 10, "seed": 0},
                    "example": 0,
                }
            },
            "studies": {
                "first": {"title": "First", "dataset": "shapes", "shared_from": "first", "variants": ["grid", "longer"]}
            },
            "tasks": {},
            "searches": {"grid": {**COMMON, "grid": [[4, 8], [2]], "block": {"dropout": 0.5}, "folds": 3}},
            "variants": {},
            "derived": {"grid": derived, "longer": {**derived, "epochs": 9}},
        }
    )


ROWS = """
first:
  grid:
    reported: {best_units: [8, 2], refit_test_accuracy: 0.98, refit_test_loss: 0.1, refit_final_train_loss: 0.2,
               verdict: Good, closing_table_accuracy: 0.89, search_seconds: 60}
    cv_accuracy: [{units: [4, 2], accuracy: 0.9}, {units: [8, 2], accuracy: 0.95}]
  longer: {reported: {refit_test_accuracy: 0.99}}
  gone: {reported: {refit_test_accuracy: 0.5}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reported_results.yaml"


def test_scores_are_by_the_units_of_the_hidden_layers(path: Path) -> None:
    path.write_text(ROWS)
    assert reported_searches(path, params()) == {"grid": ReportedSearch({(4, 2): 0.9, (8, 2): 0.95}, (8, 2), 60.0)}


def test_figures_of_refits_are_by_variant_and_absent_ones_are_none(path: Path) -> None:
    path.write_text(ROWS)
    assert reported_refits(path, params()) == {
        "grid": ReportedRefit(0.98, 0.1, 0.2, "Good", 0.89),
        "longer": ReportedRefit(test_accuracy=0.99),
    }


@pytest.mark.parametrize("text", ["{}", "first: {}", "first: {grid: null}"])
def test_what_a_source_does_not_report_is_absent(path: Path, text: str) -> None:
    path.write_text(text)
    assert reported_searches(path, params()) == {}
    assert reported_refits(path, params()) == {}


def test_nothing_is_reported_of_embedded_data_and_the_file_is_not_needed(path: Path) -> None:
    assert reported_searches(path, params(EMBEDDED)) == {}
    assert reported_refits(path, params(EMBEDDED)) == {}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{cv_accuracy: 0.9}", r"first.grid.cv_accuracy: expected a list, got 0.9"),
        ("{cv_accuracy: [0.9]}", r"first.grid.cv_accuracy\[0\]: expected units and accuracy, got 0.9"),
        ("{cv_accuracy: [{units: [4], accuracy: 90}]}", r"cv_accuracy\[0\].accuracy: expected a fraction .* got 90"),
        ("{cv_accuracy: [{units: [4]}]}", r"cv_accuracy\[0\].accuracy: required, but missing"),
        ("{cv_accuracy: [{units: 4, accuracy: 0.9}]}", r"cv_accuracy\[0\].units: expected a list of whole .* got 4"),
        ("{cv_accuracy: [{units: [0], accuracy: 0.9}]}", r"units: expected a list of whole numbers above 0"),
        (
            "{cv_accuracy: [{units: [4], accuracy: 0.9}, {units: [4], accuracy: 0.8}]}",
            r"cv_accuracy\[1\].units: expected units that are not listed yet, got \[4\]",
        ),
        ("{reported: {best_units: wide}}", "first.grid.reported.best_units: expected a list of whole numbers"),
        ("{reported: {search_seconds: -1}}", "reported.search_seconds: expected a number of 0 or more, got -1"),
        ("{reported: [1]}", r"reported: expected a mapping, got \[1\]"),
    ],
)
def test_a_malformed_search_is_named_with_its_key(path: Path, row: str, problem: str) -> None:
    path.write_text(f"first: {{grid: {row}}}")
    with pytest.raises(PipelineError, match=f"{path}: .*{problem}"):
        reported_searches(path, params())


@pytest.mark.parametrize(
    ("reported", "problem"),
    [
        (
            "{refit_test_accuracy: 98}",
            "first.grid.reported.refit_test_accuracy: expected a fraction from 0 to 1, got 98",
        ),
        ("{refit_test_loss: high}", "refit_test_loss: expected a number of 0 or more, got 'high'"),
        ("{verdict: 3}", "first.grid.reported.verdict: expected text, got 3"),
    ],
)
def test_a_malformed_refit_is_named_with_its_key(path: Path, reported: str, problem: str) -> None:
    path.write_text(f"first: {{grid: {{reported: {reported}}}}}")
    with pytest.raises(PipelineError, match=f"{path}: .*{problem}"):
        reported_refits(path, params())


def test_the_figures_of_the_project_itself_are_complete(repository: Path) -> None:
    """All 113 configurations and eight refits of the source, and its best units are the best of its own scores."""
    project = load_params(repository)
    searches = reported_searches(repository / "reported_results.yaml", project)
    assert sum(len(search.cv_accuracies) for search in searches.values()) == 113
    for name, spec in project.searches.items():
        accuracies = searches[name].cv_accuracies
        assert set(accuracies) == set(spec.configurations)
        assert max(accuracies, key=accuracies.__getitem__) == searches[name].best_units
    refits = reported_refits(repository / "reported_results.yaml", project)
    assert len(refits) == 8
    assert all(refit.test_accuracy is not None for refit in refits.values())
    assert {name for name, refit in refits.items() if refit.closing_table_accuracy} == {"digits_grid_2_bn_dropout"}
