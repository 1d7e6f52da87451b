"""The benchmark: what it counts, what it says, and that every way trains the same variant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import data, floor, idle, operations, plans, report, training, whole, workers
from benchmarks.bench import Bench
from benchmarks.report import Comparison
from pipeline.config.load import load_params
from pipeline.config.models import CnnVariant, MlpVariant
from pipeline.config.params import Params
from pipeline.repro import demo

VARIANT: dict[str, Any] = {
    "study": "study",
    "dataset": "drawn",
    "family": "mlp",
    "engine": "jax",
    "layers": [{"units": 32, "dropout": 0.2}],
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "batch_size": 32,
    "epochs": 6,
}


@pytest.fixture(scope="module")
def study() -> Params:
    return load_params(Path(__file__).parents[2])


def test_products_of_a_dense_network(study: Params) -> None:
    counts = floor.products(study.variants["digits_512x512"], 10)
    assert counts == [(784 * 512, 784 * 512), (512 * 512, 512 * 512), (512 * 10, 512 * 10)]


def test_products_of_a_convolutional_network() -> None:
    variant = CnnVariant.model_validate(
        {
            **VARIANT,
            "family": "cnn",
            "engine": "tensorflow",
            "blocks": [{"filters": 4, "padding": "valid"}, {"filters": 8, "padding": "same"}],
        }
    )
    assert [count for count, _ in floor.products(variant, 10)] == [
        26 * 26 * 9 * 4,
        13 * 13 * 9 * 4 * 8,
        6 * 6 * 8 * 32,
        32 * 10,
    ]


def test_operations_of_an_epoch() -> None:
    """Three products for each weight in training, but two in the first layer; one in validation."""
    variant = floor.with_layers(MlpVariant.model_validate(VARIANT), [3])
    first, last = 5 * 3, 3 * 2
    counted = floor.operations(variant, 2, num_train=10, num_validation=4, num_inputs=5)
    assert counted == 2 * (10 * (2 * first + 3 * last) + 4 * (first + last))


def test_what_is_planned_is_in_the_study(study: Params) -> None:
    for plan in (plans.FULL, plans.QUICK):
        assert {row.variant for row in (*plan.trainings, *plan.profiled)} <= set(study.variants)
        assert {point.search for point in plan.grid_points} <= set(study.searches)
        assert plan.transfer in study.transfers
    for point in plans.FULL.grid_points:
        assert point.units in study.searches[point.search].configurations


@pytest.mark.parametrize(
    ("value", "text"),
    [(123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.0123"), (0.5, "0.500"), (0, "0.00")],
)
def test_three_digits(value: float, text: str) -> None:
    assert report.digits(value) == text


def test_a_ratio_is_of_medians_and_judged_by_its_target() -> None:
    seconds = {"plain": [4.0, 6.0, 50.0], "engine": [2.0, 1.0, 3.0]}
    for target, verdict in ((3.0, "met"), (3.1, "**not met**"), (None, "–")):
        row = Comparison("work", seconds, {"plain": [0.5], "engine": [0.25]}, target=target, floor=0.5)
        assert row.ratio == 3
        assert row.cells(["plain", "engine"])[3:6] == ["3.00", "–" if target is None else f"≥ {target:g}", verdict]
        assert row.cells(["plain", "engine"])[6:] == ["50.00 %", "25.00 %", "0.500", "4.0"]


def test_a_way_that_was_not_measured_has_no_column_and_a_row_without_it_a_dash() -> None:
    both = {"plain": [2.0], "engine": [1.0]}
    assert "PyTorch" not in report.comparisons([Comparison("a", both)])
    text = report.comparisons([Comparison("a", both), Comparison("b", {**both, "torch": [3.0]})])
    first, second = text.splitlines()[2:]
    assert first.startswith("| a | 2.00 | 1.00 | – | 2.00 | – |")
    assert second.startswith("| b | 2.00 | 1.00 | 3.00 | 2.00 | 3.00 |")


def test_drawn_images_can_be_told_apart() -> None:
    examples = data.drawn(500, seed=1)
    assert set(examples.targets.tolist()) == set(range(10))
    rows = examples.inputs.mean(axis=2)[:, 4:24:2]
    np.testing.assert_array_equal(rows.argmax(axis=1), examples.targets)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["plain", "engine"])
def test_both_ways_train_the_same_variant(way: str) -> None:
    answer = workers.measure(
        "training.train",
        way=way,
        variant=VARIANT,
        dataset=None,
        num_train=640,
        num_validation=100,
        threads=1,
        seed=1,
    )
    assert len(answer["seconds"]) == 6
    assert 0 < sum(answer["seconds"]) < answer["wall"]
    assert answer["accuracy"] > 0.8, "a tenth by chance"


CNN = {
    "study": "study",
    "dataset": "garments",
    "family": "cnn",
    "engine": "tensorflow",
    "blocks": [{"filters": 4, "padding": "same", "dropout": 0.5}],
    "layers": [],
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "batch_size": 32,
    "epochs": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", operations.WAYS)
def test_the_profile_has_the_operations_of_a_convolutional_network_by_their_plain_names(way: str) -> None:
    answer = workers.measure(
        "operations.profiled",
        way=way,
        variant=CNN,
        dataset=None,
        num_train=320,
        num_validation=64,
        threads=1,
        seed=1,
    )
    found = answer["operations"]
    assert {"Conv2D", "Conv2DBackpropFilter", "MaxPool", "MaxPoolGrad", "MatMul", "SelectV2"} <= set(found)
    # On one thread nothing runs at the same time.
    assert 0 < sum(found.values()) < answer["epoch"]


def test_operations_beyond_the_longest_are_counted_together() -> None:
    found = {
        "plain": {"operations": {"Conv2D": 3.0, "Mul": 0.5, "Sub": 0.25}, "epoch": 4.0},
        "engine": {"operations": {"Conv2D": 1.0, "MaxPool": 1.0}, "epoch": 2.5},
    }
    assert operations.rows(found, {"plain": 3.5, "engine": 2.25}, 2) == [
        ["`Conv2D`", "3.00", "1.00"],
        ["`MaxPool`", "0.00", "1.00"],
        ["2 others", "0.750", "0.00"],
        ["all operations", "3.75", "2.00"],
        ["the epoch, profiled", "4.00", "2.50"],
        ["the epoch, not profiled", "3.50", "2.25"],
    ]


def test_seconds_between_the_ends_grow_with_the_operations() -> None:
    assert whole.interpolated([10.0, 20.0, 30.0], [10.0, 30.0], [1.0, 2.0]) == pytest.approx(1 + 1.5 + 2)
    assert whole.interpolated([10.0, 10.0], [10.0, 10.0], [1.0, 1.0]) == pytest.approx(2)


def test_the_whole_study_counts_every_training_and_fit(monkeypatch: pytest.MonkeyPatch, study: Params) -> None:
    def measured(job: str, **arguments: Any) -> dict[str, Any]:
        if job == "searching.configuration":
            return {"fixed": 5.0, "per_epoch": 1.0}
        return {"seconds": [3.0] + [1.0] * (training.variant_of(arguments["variant"]).epochs - 1)}

    monkeypatch.setattr(whole, "measure", measured)
    monkeypatch.setattr(whole, "_transfers", lambda bench: iter(()))
    monkeypatch.setattr(whole, "_stages", lambda bench: whole.Part("stages", 0, 100.0))
    bench = Bench(plans.FULL, study)
    bench.__dict__["rate"] = 1e11
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in whole.study(bench).splitlines() if "|" in line]
    parts = {row[0]: row[1:] for row in rows[2:]}
    # 113 configurations of three folds; 49 models, of which a regressor and two transfers are left out.
    searches = [row for name, row in parts.items() if name.startswith("`search@")]
    assert sum(int(row[0]) for row in searches) == 339
    assert sum(float(row[1].replace(",", "")) for row in searches) == 113 * 25
    trainings = {name: row for name, row in parts.items() if name.endswith((", dense", ", convolutional"))}
    assert sum(int(row[0]) for row in trainings.values()) == 46
    # Each first epoch costs 2 s more; on a fifth of the images, an epoch stands for five.
    assert trainings["fashion, convolutional"][1] == "558"
    assert parts["regularization-activity, under other seeds"][:2] == ["12", "384"]
    assert parts["all"][2] == "100 %"


def test_a_job_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)training\.train.*ValidationError"):
        workers.measure(
            "training.train",
            way="engine",
            variant={"family": "mlp", "engine": "jax"},
            dataset=None,
            num_train=10,
            num_validation=10,
            threads=1,
            seed=1,
        )


@pytest.mark.slow
def test_the_work_of_a_stage_is_without_mlflow(repository: Path, tmp_path: Path) -> None:
    demo.fill(repository, tmp_path)
    answer = workers.measure("pipeline_costs.stage_work", folder=str(tmp_path), stage="fetch", item="digits", threads=1)
    assert 0 < answer["seconds"] < answer["wall"]
    assert any((tmp_path / "data/raw/digits").iterdir())
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_stages_that_are_up_to_date_are_timed(tmp_path: Path) -> None:
    idle.make_training_stages(tmp_path, 3)
    assert 0 < idle.nothing_to_do(tmp_path) < 120


@pytest.mark.slow
def test_a_copy_with_all_parameters_in_one_file_is_up_to_date_too(repository: Path, tmp_path: Path) -> None:
    idle.copy_in_one_file(repository, tmp_path / "study")
    assert not (tmp_path / "study" / "params").exists()
    assert 0 < idle.nothing_to_do(tmp_path / "study", *idle.MISSING_MODELS) < 120


def test_the_parts_of_doing_nothing_are_found_in_dvc(tmp_path: Path) -> None:
    """Each is called, and together they are no more than all."""
    idle.make_training_stages(tmp_path, 3)
    shares = idle.shares_of_nothing(tmp_path)
    assert set(shares) == set(idle.FUNCTIONS)
    assert min(shares.values()) > 0
    assert sum(shares.values()) < 1


def test_a_stage_that_is_to_run_is_no_idle_one(tmp_path: Path) -> None:
    idle.make_training_stages(tmp_path, 1)
    (tmp_path / "code" / "0.py").write_text("changed")
    with pytest.raises(RuntimeError, match="train@variant_0"):
        idle.nothing_to_do(tmp_path)


def test_a_section_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text(command.document(plans.FULL, {"stages": "## Old stages\n\n| 1 |", "training": "## Old training"}))
    found = command.read(path)
    assert found == {"training": "## Old training", "stages": "## Old stages\n\n| 1 |"}
    text = command.document(plans.FULL, found | {"training": "## New training"})
    assert "Old training" not in text
    assert text.index("New training") < text.index("Old stages")


def test_a_section_says_where_it_was_measured(monkeypatch: pytest.MonkeyPatch, study: Params) -> None:
    monkeypatch.setitem(command.SECTIONS, "stages", lambda bench: "## Stages")
    text = command.measured("stages", Bench(plans.QUICK, study))
    assert text.startswith("## Stages\n\nSection `stages`: 0 minutes. Machine: ")


def test_figures_of_a_quick_run_are_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    path.write_text(command.document(plans.QUICK, {"stages": "## Quick stages"}))
    assert command.read(path) == {}
