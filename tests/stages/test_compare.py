from __future__ import annotations

import shutil
from typing import Any

import pytest
from matplotlib.figure import Figure
from ruamel.yaml import YAML

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import style
from pipeline.stages import compare

FILES = {
    "ranking.csv",
    "validation_accuracy.png",
    "validation_accuracy_top5.png",
    "validation_loss.png",
    "accuracy_first3.png",
    "test_accuracy.png",
    "differences.csv",
    "differences.png",
}
DIFFERENCES_COLUMNS = (
    "first",
    "second",
    "accuracy_difference",
    "accuracy_low",
    "accuracy_high",
    "only_first_right",
    "only_second_right",
    "accuracy_p_value",
    "accuracy_holm_p_value",
    "accuracy_verdict",
    "cross_entropy_difference",
    "cross_entropy_low",
    "cross_entropy_high",
    "cross_entropy_p_value",
    "cross_entropy_holm_p_value",
    "cross_entropy_verdict",
)


def test_writes_ranking_and_figures(results: Workspace, params: Params) -> None:
    compare.main(results, params, "first")
    assert {path.name for path in results.comparison("first").iterdir()} == FILES


def test_ranking_holds_the_figures_of_training_evaluation_and_source(results: Workspace, params: Params) -> None:
    compare.main(results, params, "first")
    ranking = storage.read_table(results.comparison("first") / "ranking.csv")
    wide, narrow = ranking.to_dict("records")
    expected = {
        "variant": "wide",
        "params": 400,
        "epochs": 3,
        "val_accuracy": 0.98,
        "best_val_accuracy": 0.99,
        "best_epoch": 2,
        "val_loss": 0.1,
        "min_val_loss": 0.05,
        "min_val_loss_epoch": 1,
        "test_accuracy": 0.975,
        "test_accuracy_low": 0.965,
        "test_accuracy_high": 0.983,
        "test_loss": 0.11,
        "train_accuracy": 0.99,
        "accuracy_gap": pytest.approx(0.015),
        "train_cross_entropy": 0.045,
        "test_cross_entropy": 0.1,
        "cross_entropy_gap": pytest.approx(-0.055),
        "expected_calibration_error": 0.02,
        "validation_rank": 1,
        "test_rank": 1,
        "reported_test_accuracy": 0.98,
        "difference": -0.005,
        "within_tolerance": False,
    }
    assert wide == expected
    assert list(ranking.columns) == list(expected)
    # 0.965 - 0.961 is 0.0040000000000000036 in floating point, and within 0.004 all the same.
    assert (narrow["variant"], narrow["difference"], narrow["within_tolerance"]) == ("narrow", 0.004, True)


def test_equal_test_accuracies_share_a_rank_and_nothing_to_compare_with_stays_empty(
    results: Workspace, params: Params
) -> None:
    compare.main(results, params, "second")
    ranking = storage.read_table(results.comparison("second") / "ranking.csv")
    assert list(ranking["variant"]) == ["wide", "deep"]
    assert list(ranking["validation_rank"]) == [1, 2]
    assert list(ranking["test_rank"]) == [1, 1]
    # The source's figure of `wide` is a fault of its own: shown, not judged. `deep` has none.
    assert ranking["within_tolerance"].isna().all()
    assert ranking["difference"].tolist()[0] == pytest.approx(0.875)
    assert ranking["reported_test_accuracy"].isna().tolist() == [False, True]


def test_a_variant_that_left_params_is_not_ranked(results: Workspace, content: dict[str, Any]) -> None:
    del content["variants"]["narrow"]
    content["studies"]["first"]["variants"].remove("narrow")
    with pytest.raises(PipelineError, match=r"first\.narrow: expected the name of a variant .* or remove it"):
        compare.main(results, Params.model_validate(content), "first")
    reported = YAML(typ="safe").load(results.reported_results)
    del reported["first"]["narrow"]
    storage.write_json(results.reported_results, reported)
    compare.main(results, Params.model_validate(content), "first")
    ranking = storage.read_table(results.comparison("first") / "ranking.csv")
    assert list(ranking["variant"]) == ["wide"]


def test_without_a_tolerance_nothing_is_judged(results: Workspace, content: dict[str, Any]) -> None:
    del content["studies"]["first"]["tolerance"]
    compare.main(results, Params.model_validate(content), "first")
    ranking = storage.read_table(results.comparison("first") / "ranking.csv")
    assert ranking["within_tolerance"].isna().all()
    assert ranking["difference"].tolist() == [-0.005, 0.004]


def test_variants_of_another_study_may_be_set_beside(results: Workspace, content: dict[str, Any]) -> None:
    content["studies"]["second"]["beside_all"] = True
    compare.main(results, Params.model_validate(content), "second")
    ranking = storage.read_table(results.comparison("second") / "ranking.csv")
    assert list(ranking["variant"]) == ["wide", "deep", "narrow"]
    rows = ranking.set_index("variant")
    # `narrow` is only set beside the study's own: with the figure that its own source reports.
    assert rows.loc["narrow", "reported_test_accuracy"] == 0.961
    assert rows.loc["wide", "reported_test_accuracy"] == 0.1
    assert list(ranking["test_rank"]) == [1, 1, 3]


def test_pictures_beside_another_study_show_the_studys_own_and_say_what_else(
    results: Workspace, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    content["studies"]["second"]["beside_all"] = True
    figures: dict[str, Figure] = {}
    monkeypatch.setattr(storage, "write_figure", lambda path, figure: figures.update({path.stem: figure}))
    monkeypatch.setattr(compare, "NUM_TOP", 1)
    compare.main(results, Params.model_validate(content), "second")
    assert {name: figure.get_suptitle().split("\n")[1] for name, figure in figures.items()} == {
        "validation_accuracy": "validation accuracy; grey: the study first",
        "validation_accuracy_top5": "validation accuracy, top 1 and its own; grey: the study first",
        "validation_loss": "validation cross-entropy, without penalties; grey: the study first",
        "accuracy_first3": "training and validation accuracy of its 2 variants",
        "test_accuracy": "test accuracy; grey: the study first",
        "differences": "differences in test accuracy, in points",
    }
    lines = {name: figures[name].axes[0].get_lines() for name in figures if "validation" in name}
    colours = {name: {str(line.get_label()).split()[-1]: line.get_color() for line in lines[name]} for name in lines}
    own = {"wide": style.variant_colour(0), "deep": style.variant_colour(1)}
    assert colours["validation_accuracy"] == colours["validation_loss"] == {"narrow": style.GREY, **own}
    assert colours["validation_accuracy_top5"] == own
    assert len(figures["accuracy_first3"].axes[0].get_lines()) == 4
    assert [label.get_text() for label in figures["differences"].axes[0].get_xticklabels()] == ["1", "2"]


def differences(results: Workspace, study: str) -> dict[tuple[str, str], dict[Any, Any]]:
    table = storage.read_table(results.comparison(study) / "differences.csv")
    assert tuple(table.columns) == DIFFERENCES_COLUMNS
    return {(row["first"], row["second"]): row for row in table.to_dict("records")}


def test_every_two_variants_of_a_study_have_a_verdict(results: Workspace, params: Params) -> None:
    compare.main(results, params, "second")
    ((pair, row),) = differences(results, "second").items()
    assert pair == ("wide", "deep")
    # 975 of 1,000 are right of either, but not the same ones.
    assert row["accuracy_difference"] == 0
    assert row["only_first_right"] == row["only_second_right"] > 0
    assert (row["accuracy_holm_p_value"], row["accuracy_verdict"]) == (1.0, "no significant difference")


def test_what_is_only_set_beside_is_compared_with_the_studys_own_alone(
    results: Workspace, content: dict[str, Any]
) -> None:
    content["studies"]["second"]["beside_all"] = True
    content["variants"]["beside"] = content["variants"]["narrow"]
    content["studies"]["first"]["variants"].append("beside")
    params = Params.model_validate(content)
    narrow = results.training_results("narrow", params.variants["narrow"])
    shutil.copytree(narrow, narrow.parent / "beside")
    scores = storage.read_json(results.evaluation("first") / "metrics.json")
    storage.write_json(results.evaluation("first") / "metrics.json", {**scores, "beside": scores["narrow"]})
    shutil.copy(results.predictions("first") / "narrow.npz", results.predictions("first") / "beside.npz")
    compare.main(results, params, "second")
    pairs = {frozenset(pair) for pair in differences(results, "second")}
    assert frozenset({"narrow", "beside"}) not in pairs
    assert len(pairs) == 5


def test_the_same_bytes_twice(results: Workspace, params: Params) -> None:
    def run() -> dict[str, bytes]:
        compare.main(results, params, "first")
        return {path.name: path.read_bytes() for path in results.comparison("first").iterdir()}

    assert run() == run()


def test_a_variant_without_evaluation_is_named(results: Workspace, params: Params) -> None:
    path = results.evaluation("first") / "metrics.json"
    storage.write_json(path, {"wide": storage.read_json(path)["wide"]})
    with pytest.raises(
        PipelineError, match=r"evaluation of first: expected metrics of narrow, got only wide\. Run `dvc"
    ):
        compare.main(results, params, "first")
    assert not results.comparison("first").exists()


def test_unknown_study_is_refused(results: Workspace, params: Params) -> None:
    with pytest.raises(PipelineError, match="unknown study 'third'; expected one of: first, second"):
        compare.main(results, params, "third")
