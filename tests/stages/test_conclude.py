from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import conclude
from pipeline.studies.grid_search.closing_table import COLUMNS

COMMON = {
    "study": "grids",
    "dataset": "shapes",
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "batch_size": 8,
    "epochs": 2,
}
DERIVED = {**COMMON, "family": "mlp", "engine": "jax"}
SEARCH = {**COMMON, "grid": [[4, 8], [2, 3]], "folds": 3}
REPEATED = {
    "repeats": "grids",
    "seeds": 2,
    "study": "grids",
    "dataset": "shapes",
    "family": "mlp",
    "engine": "jax",
}
CONTENT: dict[str, Any] = {
    "compute": {"seed": 1, "threads": 1},
    "sources": {"shapes": {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}},
    "datasets": {
        "shapes": {
            "title": "Shapes",
            "source": "shapes",
            "classes": ["disc", "square", "star"],
            "split": {"validation_size": 10, "seed": 0},
            "example": 0,
        }
    },
    "studies": {
        "grids": {
            "title": "Grids",
            "dataset": "shapes",
            "shared_from": "grids",
            "variants": ["both", "bn", "dropout", "dropout_longer"],
        }
    },
    "conclusions": {"grids": {"dataset": "shapes"}},
    "repeats": {"grids": {"dataset": "shapes"}},
    "repeated_derived": {"dropout": {**REPEATED, "layers_from": "dropout"}},
    "tasks": {},
    "searches": {
        "both": {**SEARCH, "block": {"batch_norm": True, "dropout": 0.5}},
        "bn": {**SEARCH, "block": {"batch_norm": True}},
        "dropout": {**SEARCH, "block": {"dropout": 0.5}},
    },
    "variants": {},
    "derived": {
        "both": {**DERIVED, "layers_from": "both"},
        "bn": {**DERIVED, "layers_from": "bn"},
        "dropout": {**DERIVED, "layers_from": "dropout"},
        "dropout_longer": {**DERIVED, "layers_from": "dropout", "epochs": 4},
    },
}
EMBEDDED = {"kind": "embedded", "images": "digits", "train_size": 9, "test_size": 9, "seed": 0}
REPORTED = """
grids:
  bn:
    reported: {best_units: [8, 2], refit_test_accuracy: 0.95, refit_test_loss: 0.1, refit_final_train_loss: 0.02,
               verdict: Severely overfit, closing_table_accuracy: 0.85, search_seconds: 9}
  dropout: {reported: {search_seconds: 6}}
"""
COSTS = """\
engine,block,seconds_per_epoch_median,seconds_per_epoch_min,seconds_per_epoch_max,ratio_to_dropout_median,\
ratio_to_dropout_min,ratio_to_dropout_max,num_rounds,num_images
keras-tensorflow,bn,0.3,0.2,0.4,1.5,1.4,1.6,6,3000
keras-tensorflow,dropout,0.2,0.2,0.2,1.0,1.0,1.0,6,3000
"""
# Of repeated refits: the longer one has a lower accuracy and a higher cross-entropy, by 2.5 standard errors.
DIFFERENCES = pd.DataFrame(
    {
        "first": ["dropout"],
        "second": ["dropout_longer"],
        "accuracy_difference": [0.005],
        "accuracy_standard_error": [0.002],
        "accuracy_degrees_of_freedom": [20.0],
        "cross_entropy_difference": [-0.05],
        "cross_entropy_standard_error": [0.02],
        "cross_entropy_degrees_of_freedom": [20.0],
    }
)
ACCURACIES = {"both": 0.95, "bn": 0.93, "dropout": 0.945}
NUM_TEST = 60
FILES = {
    "closing_table.csv",
    "conclusions.json",
    "reported_against_measured.png",
    "heat_maps/both.png",
    "heat_maps/bn.png",
    "heat_maps/dropout.png",
}


@pytest.fixture
def content() -> dict[str, Any]:
    return copy.deepcopy(CONTENT)


@pytest.fixture
def params(content: dict[str, Any]) -> Params:
    return Params.model_validate(content)


@pytest.fixture
def evaluated(workspace: Workspace, params: Params) -> Workspace:
    """The workspace after searches, refits and evaluation."""
    workspace.reported_results.write_text(REPORTED)
    (workspace.root / "benchmarks").mkdir()
    (workspace.root / "benchmarks" / "block_costs.csv").write_text(COSTS)
    storage.write_table(workspace.searches_table, pd.concat([scores(name) for name in params.searches]))
    for name in params.searches:
        storage.write_json(workspace.outcome(name), {"search": name, "selected": "8-3", "units": [8, 3]})
    for name in params.derived:
        save_refit(workspace, params, name)
    tested = {name: figures_of_test(3 + place) for place, name in enumerate(params.derived)}
    storage.write_json(workspace.evaluation("grids") / "metrics.json", tested)
    storage.write_table(workspace.repeats("grids") / "differences.csv", DIFFERENCES)
    return workspace


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def scores(name: str) -> pd.DataFrame:
    """Rows of searches.csv: each configuration a little better than the one before."""
    means = ACCURACIES[name] + np.arange(4) / 1000
    folds = {f"fold_{number}_accuracy": means + delta for number, delta in enumerate((-0.001, 0.0, 0.001), start=1)}
    figures = {"mean_accuracy": means, "std_accuracy": 0.001, "reported_cv_accuracy": means - 0.002}
    return pd.DataFrame({"search": name, "units": ["4-2", "4-3", "8-2", "8-3"], **folds, **figures})


def save_refit(workspace: Workspace, params: Params, name: str) -> None:
    variant = params.derived[name]
    figures = {"loss": 0.5, "cross_entropy": 0.5, "accuracy": 0.85}
    metrics = {
        "parameters": {"total": 100, "trainable": 100},
        "epochs": variant.epochs,
        "best_epoch": 1,
        "train": {"last": figures, "best": figures},
        "validation": {"last": figures, "best": figures},
        "train_evaluated": {"loss": 0.02, "cross_entropy": 0.02, "accuracy": 1.0},
    }
    storage.write_json(workspace.training_results(name, variant) / "metrics.json", metrics)


def figures_of_test(num_wrong: int) -> dict[str, Any]:
    accuracy = 1 - num_wrong / NUM_TEST
    return {
        "loss": 0.4,
        "cross_entropy": 0.4,
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.1,
        "accuracy_high": accuracy + 0.03,
        "num_examples": NUM_TEST,
        "num_correct": NUM_TEST - num_wrong,
        "macro_f1": accuracy,
        "expected_calibration_error": 0.02,
        "overconfidence": 0.01,
        "model_sha256": "0" * 64,
    }


def verdicts(workspace: Workspace) -> list[str]:
    conclusions = storage.read_json(workspace.conclusions("grids") / "conclusions.json")["conclusions"]
    return [conclusion["verdict"] for conclusion in conclusions]


def test_writes_tables_and_pictures(evaluated: Workspace, params: Params) -> None:
    conclude.main(evaluated, params, "grids")
    assert files(evaluated.conclusions("grids")) == FILES


def test_closing_table_has_both_train_errors_and_the_source_beside_them(evaluated: Workspace, params: Params) -> None:
    conclude.main(evaluated, params, "grids")
    table = storage.read_table(evaluated.conclusions("grids") / "closing_table.csv")
    assert list(table.columns) == list(COLUMNS)
    assert list(table["refit"]) == ["both", "bn", "dropout", "dropout_longer"]
    bn = table.set_index("refit").loc["bn"]
    assert (bn["train_error_dropout_active"], bn["train_error"], bn["test_error"]) == (0.5, 0.02, 0.4)
    assert (bn["units"], bn["reported_units"], bn["best_cv_accuracy"]) == ("8-3", "8-2", pytest.approx(0.933))
    assert (bn["verdict"], bn["reported_verdict"]) == ("overfits severely", "Severely overfit")
    assert (bn["reported_test_accuracy"], bn["reported_closing_table_accuracy"]) == (0.95, 0.85)


def test_each_conclusion_has_its_verdict_rule_and_numbers(evaluated: Workspace, params: Params) -> None:
    conclude.main(evaluated, params, "grids")
    document = storage.read_json(evaluated.conclusions("grids") / "conclusions.json")
    assert [conclusion["number"] for conclusion in document["conclusions"]] == [1, 2, 3, 4, 5]
    # The folds decide 1 and 2, folds and repeats together 3; there is one depth only for 5.
    assert verdicts(evaluated) == ["supported", "supported", "supported", "supported", "undecided"]
    for conclusion in document["conclusions"]:
        assert all(conclusion[key] for key in ("claim", "restatement", "rule", "reason", "numbers"))
    assert document["conclusions"][3]["numbers"]["reported_search_time_ratio"] == {"bn / dropout": 1.5}
    assert document["agreement_with_reported"]["all"]["rank_correlation"] == pytest.approx(1)


def test_what_more_epochs_do_comes_from_the_repeats(evaluated: Workspace, params: Params) -> None:
    conclude.main(evaluated, params, "grids")
    document = storage.read_json(evaluated.conclusions("grids") / "conclusions.json")
    accuracy, entropy = document["conclusions"][2]["numbers"]["more_epochs"]
    assert (accuracy["first"], accuracy["second"]) == ("dropout_longer", "dropout")
    assert (accuracy["basis"], accuracy["difference"]) == ("test accuracy", pytest.approx(-0.005))
    assert (entropy["basis"], entropy["difference"]) == ("test cross-entropy", pytest.approx(0.05))
    # p values of .0212, of which Holm's correction for two leaves .0424.
    assert accuracy["holm_p_value"] == entropy["holm_p_value"] == pytest.approx(0.0424, abs=1e-4)
    assert document["conclusions"][2]["numbers"]["parts"]["overfits_later"] == "supported"


def test_with_one_search_on_embedded_data_nothing_is_decided_or_reported(
    evaluated: Workspace, content: dict[str, Any]
) -> None:
    content["sources"]["shapes"] = EMBEDDED
    content["datasets"]["shapes"]["demonstration"] = True
    content["searches"] = {"dropout": content["searches"]["dropout"]}
    content["derived"] = {"dropout": content["derived"]["dropout"]}
    content["studies"]["grids"]["variants"] = ["dropout"]
    evaluated.reported_results.unlink()
    storage.write_table(evaluated.searches_table, scores("dropout").assign(reported_cv_accuracy=None))
    conclude.main(evaluated, Params.model_validate(content), "grids")
    assert verdicts(evaluated) == ["undecided"] * 5
    folder = evaluated.conclusions("grids")
    assert files(folder) == {*(FILES - {"heat_maps/both.png", "heat_maps/bn.png"})}
    assert storage.read_json(folder / "conclusions.json")["agreement_with_reported"] is None


def test_the_same_bytes_twice(evaluated: Workspace, params: Params) -> None:
    def run() -> dict[str, bytes]:
        conclude.main(evaluated, params, "grids")
        folder = evaluated.conclusions("grids")
        return {name: (folder / name).read_bytes() for name in files(folder)}

    assert run() == run()


def _no_costs(workspace: Workspace) -> None:
    (workspace.root / "benchmarks" / "block_costs.csv").unlink()


def _other_costs(workspace: Workspace) -> None:
    (workspace.root / "benchmarks" / "block_costs.csv").write_text("engine,block\na,bn\n")


def _other_grid(workspace: Workspace) -> None:
    storage.write_table(workspace.searches_table, pd.concat([scores("both"), scores("bn").head(3), scores("dropout")]))


def _other_choice(workspace: Workspace) -> None:
    storage.write_json(workspace.outcome("bn"), {"selected": "9-9"})


def _not_evaluated(workspace: Workspace) -> None:
    storage.write_json(workspace.evaluation("grids") / "metrics.json", {"both": figures_of_test(3)})


def _half_evaluated(workspace: Workspace) -> None:
    tested = {name: figures_of_test(3) for name in ("both", "bn", "dropout", "dropout_longer")}
    del tested["bn"]["accuracy"]
    storage.write_json(workspace.evaluation("grids") / "metrics.json", tested)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_no_costs, r"block_costs.csv: expected the times of the benchmark, but the file is missing\. Restore it"),
        (_other_costs, r"block_costs.csv: expected the column seconds_per_epoch_median, got engine, block\."),
        (_other_grid, r"searches.csv: expected the 4 configurations of searches.bn, got 4-2, 4-3, 8-2\. Run `dvc"),
        (_other_choice, r"bn.json: expected as `selected` a configuration of searches.bn, got '9-9'"),
        (_not_evaluated, "metrics.json: expected metrics of bn, dropout, dropout_longer, got only both"),
        (_half_evaluated, r"metrics.json: expected bn\.accuracy, got none\. Delete the file"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(
    evaluated: Workspace, params: Params, change: Callable[[Workspace], None], problem: str
) -> None:
    change(evaluated)
    with pytest.raises(PipelineError, match=problem):
        conclude.main(evaluated, params, "grids")
    assert not evaluated.conclusions("grids").exists()


def test_a_study_without_conclusions_is_refused(evaluated: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="unknown study under conclusions 'others'; expected one of: grids"):
        conclude.main(evaluated, params, "others")
