from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.config.load import load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.evaluation.reported import ReportedAccuracy, ReportedRow, reported_accuracies, reported_rows

SOURCES = {
    "idx_files": {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}},
    "embedded": {"kind": "embedded", "images": "digits", "train_size": 9, "test_size": 9, "seed": 0},
}


def params(source: str = "idx_files", **groups: Any) -> Params:
    variant: dict[str, Any] = {
        "family": "mlp",
        "engine": "jax",
        "study": "first",
        "dataset": "shapes",
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "batch_size": 8,
        "epochs": 3,
        "layers": [{"units": 4}],
    }
    dataset = {
        "title": "Shapes",
        "source": "shapes",
        "demonstration": source == "embedded",
        "classes": ["disc", "star"],
        "split": {"validation_size": 10, "seed": 0},
        "example": 0,
    }
    variants = {"narrow": variant, "wide": variant}
    listed = [*variants, *(name for group in ("swept", "derived") for name in groups.get(group, {}))]
    study = {"title": "First", "dataset": "shapes", "shared_from": "first", "tolerance": 0.004, "variants": listed}
    return Params.model_validate(
        {
            "compute": {"seed": 1, "threads": 1},
            "sources": {"shapes": SOURCES[source]},
            "datasets": {"shapes": dataset},
            "studies": {"first": study},
            "tasks": {},
            "variants": variants,
            **groups,
        }
    )


def test_figures_are_by_study_and_variant(tmp_path: Path) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text(
        "first:\n"
        "  narrow: {reported: {test_accuracy: 0.97, test_loss: 0.1}}\n"
        "  wide: {reported: {test_accuracy: 0.1}, fault: The network was dead.}\n"
        "other: {cv_accuracy: [1, 2]}\n"
    )
    assert reported_accuracies(path, params()) == {
        ("first", "narrow"): ReportedAccuracy(0.97, None),
        ("first", "wide"): ReportedAccuracy(0.1, "The network was dead."),
    }


DERIVED = {
    "family": "mlp",
    "engine": "jax",
    "study": "first",
    "dataset": "shapes",
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "batch_size": 8,
    "epochs": 3,
}
SEARCH = {
    "study": "first",
    "dataset": "shapes",
    "grid": [[4, 8]],
    "block": {},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "batch_size": 8,
    "epochs": 3,
    "folds": 2,
}


def test_a_refit_shares_its_row_with_its_search_and_one_from_a_sweep_does_not(tmp_path: Path) -> None:
    project = params(
        searches={"grid": SEARCH},
        sweeps={"rates": {"study": "first", "dataset": "shapes"}},
        swept={"slow": {**DERIVED, "layers": [{"units": 4}], "sweep": "rates"}},
        derived={"grid": {**DERIVED, "layers_from": "grid"}, "augmented": {**DERIVED, "layers_from": "rates"}},
    )
    path = tmp_path / "reported_results.yaml"
    path.write_text(
        "first:\n"
        "  grid: {reported: {test_accuracy: 0.1, refit_test_accuracy: 0.97}}\n"
        "  augmented: {reported: {test_accuracy: 0.96, refit_test_accuracy: 0.1}}\n"
    )
    assert reported_accuracies(path, project) == {
        ("first", "grid"): ReportedAccuracy(0.97, None),
        ("first", "augmented"): ReportedAccuracy(0.96, None),
    }


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "first: {}",
        "first: {narrow: {reported: null}}",
        "first: {narrow: {reported: {test_loss: 0.1}}}",
    ],
)
def test_what_a_source_does_not_report_is_absent(tmp_path: Path, text: str) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text(text)
    assert reported_accuracies(path, params()) == {}


def test_nothing_is_reported_of_embedded_data_and_the_file_is_not_needed(tmp_path: Path) -> None:
    assert reported_accuracies(tmp_path / "missing.yaml", params("embedded")) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "first: {narrow: {reported: {test_accuracy: 97}}}",
            "expected first.narrow.reported.test_accuracy, less than or equal to 1, got 97. Correct it.",
        ),
        ("first: {narrow: {reported: {test_accuracy: high}}}", "test_accuracy, a number, got 'high'"),
        ("first: {narrow: {reported: {test_accuracy: yes}}}", "test_accuracy, a number, got 'yes'"),
        ("first: {narrow: [0.97]}", r"expected first.narrow, an object, got \[0.97\]"),
        ("[1, 2]", "expected a mapping of studies, got list"),
        ("first: {", "expected YAML, but it cannot be parsed"),
    ],
)
def test_a_malformed_file_is_named_with_its_key(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError, match=f"{path}: .*{problem}"):
        reported_accuracies(path, params())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "reported_results.yaml"
    with pytest.raises(PipelineError, match=f"{path}: expected the figures that the sources report, but the file is"):
        reported_accuracies(path, params())


ROWS = """
first:
  narrow:
    reported: {best_units: [8, 2], refit_test_accuracy: 0.98, refit_test_loss: 0.1, refit_final_train_loss: 0.2,
               verdict: Good, closing_table_accuracy: 0.89, search_seconds: 60}
    cv_accuracy: [{units: [4, 2], accuracy: 0.9}, {units: [8, 2], accuracy: 0.95}]
    extended_test: [{wave: [0, 0, 0, 0], predicted: [0.5, -1, 0, 2]}]
  wide:
"""


def test_a_row_has_figures_of_searches_and_refits_and_absent_ones_are_none(tmp_path: Path) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text(ROWS)
    rows = reported_rows(path, params())
    row = rows["first", "narrow"]
    assert row.cv_accuracies == {(4, 2): 0.9, (8, 2): 0.95}
    assert row.figures.model_dump(exclude_none=True) == {
        "best_units": (8, 2),
        "refit_test_accuracy": 0.98,
        "refit_test_loss": 0.1,
        "refit_final_train_loss": 0.2,
        "verdict": "Good",
        "closing_table_accuracy": 0.89,
        "search_seconds": 60,
    }
    assert [(item.wave, item.predicted) for item in row.extended_test] == [((0, 0, 0, 0), (0.5, -1, 0, 2))]
    assert rows["first", "wide"] == rows["first", "absent"] == ReportedRow()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{cv_accuracy: 0.9}", "first.narrow.cv_accuracy, a list, got 0.9"),
        ("{cv_accuracy: [0.9]}", "first.narrow.cv_accuracy.0, an object, got 0.9"),
        ("{cv_accuracy: [{units: [4], accuracy: 90}]}", "cv_accuracy.0.accuracy, less than or equal to 1, got 90"),
        ("{cv_accuracy: [{units: [4]}]}", "cv_accuracy.0.accuracy, got none"),
        ("{cv_accuracy: [{units: 4, accuracy: 0.9}]}", "cv_accuracy.0.units, a list, got 4"),
        ("{cv_accuracy: [{units: [], accuracy: 0.9}]}", "cv_accuracy.0.units, at least 1 item"),
        ("{cv_accuracy: [{units: [0], accuracy: 0.9}]}", "cv_accuracy.0.units.0, greater than 0, got 0"),
        ("{cv_accuracy: [{units: [true], accuracy: 0.9}]}", "cv_accuracy.0.units.0, a whole number, got True"),
        (
            "{cv_accuracy: [{units: [4], accuracy: 0.9}, {units: [4], accuracy: 0.8}]}",
            "first.narrow.cv_accuracy, every configuration once, got ",
        ),
        ("{reported: {best_units: wide}}", "first.narrow.reported.best_units, a list, got 'wide'"),
        ("{reported: {search_seconds: -1}}", "reported.search_seconds, greater than or equal to 0, got -1"),
        ("{reported: {verdict: 3}}", "first.narrow.reported.verdict, text, got 3"),
        ("{reported: [1]}", "first.narrow.reported, an object, got [1]"),
        ("{extended_test: {a: 1}}", "first.narrow.extended_test, a list, got {'a': 1}"),
        ("{extended_test: [{wave: [1, 2, 3, 4]}]}", "first.narrow.extended_test.0.predicted, got none"),
        (
            "{extended_test: [{wave: [1, 2, 3], predicted: [1, 2, 3, 4]}]}",
            "first.narrow.extended_test.0.wave.3, got none",
        ),
    ],
)
def test_a_malformed_row_is_named_with_its_key(tmp_path: Path, row: str, problem: str) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text(f"first: {{narrow: {row}}}")
    with pytest.raises(PipelineError) as raised:
        reported_rows(path, params())
    assert str(raised.value).startswith(f"{path}: expected ")
    assert problem in str(raised.value)


def test_the_figures_of_the_project_itself_are_complete(repository: Path) -> None:
    """Every variant of the full study has its source's figure, but for those that no source has in numbers."""
    project = load_params(repository)
    figures = reported_accuracies(repository / "reported_results.yaml", project)
    listed = {(study, variant) for study in project.studies for variant in project.variants_of(study)}
    # Two controls and a correction of this project; bars without numbers.
    bars = {("four-vs-nine", name) for name in project.variants_of("four-vs-nine") if "_l1_" in name or "_l2_" in name}
    bars |= {("four-vs-nine", name) for name in project.members_of("four_nine_dropout")}
    assert listed - figures.keys() == bars | {
        ("handwritten-digits", "digits_64x64_low_lr_scratch"),
        ("handwritten-digits", "digits_64x64_longer"),
        ("fashion-transfer", "fashion_mobilenet_v2"),
    }
    assert figures["fashion", "fashion_128"].test_accuracy == 0.8848
    assert figures["digits-grid-search", "digits_grid_2_dropout_30_epochs"].test_accuracy == 0.9845
    assert {name for (_, name), figure in figures.items() if figure.fault} == {
        "digits_64x64_low_lr",
        "digits_grid_2_bn",
        "digits_grid_2_dropout",
        "digits_grid_2_dropout_30_epochs",
        "digits_grid_3_bn",
        "fashion_cnn_batchnorm",
        "four_nine_baseline",
        "four_nine_dropout_augment",
    }


def test_the_figures_of_searches_and_refits_are_complete(repository: Path) -> None:
    """All 113 configurations and eight refits of the source, and its best units are the best of its own scores."""
    project = load_params(repository)
    rows = reported_rows(repository / "reported_results.yaml", project)
    searches = {name: rows[spec.study, name] for name, spec in project.searches.items()}
    assert sum(len(search.cv_accuracy) for search in searches.values()) == 113
    for name, spec in project.searches.items():
        accuracies = searches[name].cv_accuracies
        assert set(accuracies) == set(spec.configurations)
        assert max(accuracies, key=accuracies.__getitem__) == searches[name].figures.best_units
    refits = [name for (_, name), row in rows.items() if row.figures.refit_test_accuracy is not None]
    assert set(refits) == {name for name, spec in project.derived.items() if spec.layers_from in project.searches}
    closing = {name for (_, name), row in rows.items() if row.figures.closing_table_accuracy}
    assert closing == {"digits_grid_2_bn_dropout"}


def test_the_source_of_the_waves_tells_a_prediction_of_every_extended_wave(repository: Path) -> None:
    project = load_params(repository)
    row = reported_rows(repository / "reported_results.yaml", project)["sine-waves", "sine_64x16"]
    assert row.figures.test_mae == 0.0357
    predictions = {item.wave: item.predicted for item in row.extended_test}
    assert set(predictions) == set(project.signals["sine-waves"].extended)
    assert predictions[0, 0, 1, 2] == (-0.0413, -0.019, 0.4632, -0.3943)


def test_a_row_of_a_variant_that_was_renamed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "reported_results.yaml"
    path.write_text("first: {slim: {reported: {test_accuracy: 0.5}}}\n")
    with pytest.raises(PipelineError, match=r"first\.slim: expected the name of a variant .*Rename the row"):
        reported_rows(path, params())


def test_every_study_of_the_file_belongs_to_the_project(repository: Path) -> None:
    """A misspelt study would silently have no figure."""
    project = load_params(repository)
    content = YAML(typ="safe").load(repository / "reported_results.yaml")
    assert set(content) <= {*project.studies, *project.signals}
