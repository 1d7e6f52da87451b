from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import tabulate
from pipeline.training import cross_validation
from pipeline.training.cross_validation import Configuration

SEARCH = {
    "study": "grids",
    "dataset": "shapes",
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "batch_size": 8,
    "epochs": 2,
    "block": {},
}
EMBEDDED = {"kind": "embedded", "images": "digits", "train_size": 9, "test_size": 9, "seed": 0}
REPORTED = "grids: {deep: {cv_accuracy: [{units: [4, 2], accuracy: 0.905}, {units: [8, 2], accuracy: 0.9}]}}\n"
HEADER = (
    "search,units,fold_1_accuracy,fold_2_accuracy,fold_3_accuracy,mean_accuracy,std_accuracy,"
    "reported_cv_accuracy,difference"
)


def study(source: dict[str, Any] | None = None) -> Params:
    """`shallow` has one layer and two folds, `deep` two layers and three folds."""
    dataset = {
        "title": "Shapes",
        "source": "shapes",
        "demonstration": source is not None,
        "classes": ["disc", "star"],
        "split": {"validation_size": 10, "seed": 0},
        "example": 0,
    }
    variant = {key: value for key, value in SEARCH.items() if key != "block"}
    return Params.model_validate(
        {
            "compute": {"seed": 1, "threads": 1},
            "sources": {"shapes": source or {"kind": "idx_files", "folder": "shapes", "urls": [], "sha256": {}}},
            "datasets": {"shapes": dataset},
            "studies": {"grids": {"title": "Grids", "dataset": "shapes", "shared_from": "grids", "variants": ["deep"]}},
            "tasks": {},
            "searches": {
                "shallow": {**SEARCH, "grid": [[4]], "folds": 2},
                "deep": {**SEARCH, "grid": [[4, 8], [2]], "folds": 3},
            },
            "variants": {},
            "derived": {"deep": {**variant, "family": "mlp", "engine": "jax", "layers_from": "deep"}},
        }
    )


@pytest.fixture
def searched(workspace: Workspace) -> Workspace:
    """The workspace after both searches."""
    workspace.reported_results.write_text(REPORTED)
    save(workspace, "shallow", [configuration((4,), 10, 0.75, 0.875)])
    save(
        workspace,
        "deep",
        [configuration((4, 2), 20, 0.875, 0.9375, 0.875), configuration((8, 2), 30, 0.5, 0.5, 0.5)],
    )
    return workspace


def configuration(units: tuple[int, ...], parameters: int, *accuracies: float) -> Configuration:
    return Configuration(units, parameters, accuracies, (0.1,) * len(accuracies))


def save(workspace: Workspace, name: str, configurations: list[Configuration]) -> None:
    storage.write_table(workspace.search_results(name) / "folds.csv", cross_validation.table(configurations))


def test_every_configuration_has_a_row_and_missing_folds_and_figures_stay_empty(searched: Workspace) -> None:
    tabulate.main(searched, study(), "all")
    header, shallow, *deep = searched.searches_table.read_text().splitlines()
    assert header == HEADER
    assert shallow == f"shallow,4,0.75,0.875,,0.8125,{np.std([0.75, 0.875], ddof=1)},,"
    table = storage.read_table(searched.searches_table)
    assert table["reported_cv_accuracy"].tolist()[1:] == [0.905, 0.9]
    assert table["difference"].tolist()[1:] == [-0.009167, -0.4]
    assert [line.split(",")[1] for line in deep] == ["4-2", "8-2"]


def test_nothing_is_reported_on_embedded_data(searched: Workspace) -> None:
    searched.reported_results.unlink()
    tabulate.main(searched, study(EMBEDDED), "all")
    table = storage.read_table(searched.searches_table)
    assert len(table) == 3
    assert table[["reported_cv_accuracy", "difference"]].isna().all(axis=None)


def test_the_same_bytes_twice(searched: Workspace) -> None:
    def run() -> bytes:
        tabulate.main(searched, study(), "all")
        return searched.searches_table.read_bytes()

    assert run() == run()


def _other_units(workspace: Workspace) -> None:
    save(workspace, "deep", [configuration((4, 2), 20, 0.9, 0.9, 0.9)])


def _fewer_folds(workspace: Workspace) -> None:
    save(workspace, "deep", [configuration(units, 20, 0.9, 0.9) for units in ((4, 2), (8, 2))])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_other_units, r"expected the 2 configurations of searches.deep with 3 folds each, got units 4-2\. Run `dvc"),
        (_fewer_folds, "got no column fold_3_accuracy"),
    ],
)
def test_scores_of_another_grid_are_refused(
    searched: Workspace, change: Callable[[Workspace], None], problem: str
) -> None:
    change(searched)
    with pytest.raises(PipelineError, match=f"{searched.search_results('deep') / 'folds.csv'}: .*{problem}"):
        tabulate.main(searched, study(), "all")
    assert not searched.searches_table.exists()


def test_another_name_is_refused(searched: Workspace) -> None:
    with pytest.raises(PipelineError, match="tabulate: expected 'all' as name, got 'deep'"):
        tabulate.main(searched, study(), "deep")
