"""What docs/findings.md.jinja says in words of its own, held against the results: if a test fails, mend the sentence.

Numbers and verdicts in it come from tables; what is here are the sentences around them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.config.load import load_params
from pipeline.config.models import CnnVariant, MlpVariant
from pipeline.config.params import Params
from pipeline.io import history, storage
from pipeline.io.paths import Workspace

CONFUSED_WITH_SHIRTS = {"T-shirt/top", "Pullover", "Coat"}


@pytest.fixture(scope="module")
def workspace(repository: Path) -> Workspace:
    return Workspace(repository)


@pytest.fixture(scope="module")
def params(workspace: Workspace) -> Params:
    return load_params(workspace.root)


class Results:
    """Trained and tested metrics of a variant by its name."""

    def __init__(self, workspace: Workspace, params: Params) -> None:
        self.workspace, self.params = workspace, params

    def trained(self, name: str) -> dict[str, Any]:
        return storage.read_json(self.workspace.training_results(name, self.params.all_variants[name]) / "metrics.json")

    def history(self, name: str) -> pd.DataFrame:
        return history.read(self.workspace.training_results(name, self.params.all_variants[name]) / "history.csv")

    def gap(self, name: str) -> float:
        """Of the finished model, without dropout: the training accuracy less the validation accuracy."""
        trained = self.trained(name)
        return float(trained["train_evaluated"]["accuracy"] - trained["validation"]["last"]["accuracy"])


@pytest.fixture(scope="module")
def results(workspace: Workspace, params: Params) -> Results:
    return Results(workspace, params)


def test_both_networks_with_dropout_fit_the_training_images_better(results: Results) -> None:
    assert results.gap("digits_64x64") > 0
    assert results.gap("digits_400x300") > 0


@pytest.mark.parametrize("name", ["digits_64x16_l2", "digits_64x64_l2"])
def test_with_half_of_the_units_dropped_training_accuracy_lies_below_validation_accuracy(
    results: Results, name: str
) -> None:
    trained = results.trained(name)
    assert trained["train"]["last"]["accuracy"] < trained["validation"]["last"]["accuracy"]
    assert trained["train_evaluated"]["accuracy"] > trained["train"]["last"]["accuracy"]


def test_the_cross_entropy_of_512x512_rises_while_its_accuracy_rises(results: Results) -> None:
    curve = results.history("digits_512x512")
    lowest = curve.iloc[int(curve["val_cross_entropy"].argmin())]
    assert lowest["epoch"] <= 10, "lowest early"
    assert curve["val_cross_entropy"].iloc[-1] > lowest["val_cross_entropy"]
    assert curve["val_accuracy"].iloc[-1] > lowest["val_accuracy"]


def test_the_strong_l2_penalty_leaves_almost_no_gap(results: Results) -> None:
    assert abs(results.gap("digits_64x64_l2")) < 0.01


def test_the_small_network_is_an_eighth_of_the_large_one(results: Results) -> None:
    small, large = (results.trained(name)["parameters"]["total"] for name in ("digits_64x64", "digits_400x300"))
    assert large / small == pytest.approx(8, abs=0.5)


def test_cross_entropy_turns_long_before_the_end_in_dense_fashion_networks_without_dropout(
    results: Results, params: Params
) -> None:
    names = [
        name
        for name, spec in params.variants_of("fashion").items()
        if isinstance(spec, MlpVariant) and not any(layer.dropout for layer in spec.layers)
    ]
    assert len(names) == 5
    for name in names:
        curve = results.history(name)
        lowest = curve.iloc[int(curve["val_cross_entropy"].argmin())]
        assert lowest["epoch"] <= len(curve) / 2, name
        assert curve["val_cross_entropy"].iloc[-1] > 1.1 * lowest["val_cross_entropy"], name


def test_shirts_are_the_hardest_class_of_every_model(workspace: Workspace, params: Params) -> None:
    for name in params.variants_of("fashion"):
        folder = workspace.evaluation_details("fashion", name)
        recall = storage.read_table(folder / "per_class.csv").set_index("class")["recall"]
        assert recall.idxmin() == "Shirt", name
        confusion = storage.read_table(folder / "confusion_matrix.csv").set_index("true class")
        row = confusion.loc["Shirt"].to_dict()
        mistakes = {taken: number for taken, number in row.items() if taken != "Shirt"}
        assert set(sorted(mistakes, key=lambda taken: -mistakes[taken])[:3]) <= CONFUSED_WITH_SHIRTS | {"Dress"}, name


def test_every_convolutional_network_beats_every_dense_one(workspace: Workspace, params: Params) -> None:
    tested = storage.read_json(workspace.evaluation("fashion") / "metrics.json")
    kinds = {name: isinstance(spec, CnnVariant) for name, spec in params.variants_of("fashion").items()}
    convolutional = [tested[name]["accuracy"] for name, is_cnn in kinds.items() if is_cnn]
    dense = [tested[name]["accuracy"] for name, is_cnn in kinds.items() if not is_cnn]
    assert min(convolutional) > max(dense)


def test_six_searches_are_near_their_source_and_the_five_layer_one_is_not(workspace: Workspace) -> None:
    content = storage.read_json(workspace.conclusions("digits-grid-search") / "conclusions.json")
    differences = {
        name: item["mean_difference"] for name, item in content["agreement_with_reported"]["searches"].items()
    }
    five = differences.pop("digits_grid_5_bn_dropout")
    assert len(differences) == 6
    assert max(map(abs, differences.values())) < 0.002 < five


def test_more_updates_alone_do_not_explain_the_gain_of_augmentation(workspace: Workspace) -> None:
    control, augmented = storage.read_table(workspace.root / "benchmarks" / "updates.csv").to_dict("records")
    assert control["updates" if "updates" in control else "num_updates"] >= 23_450
    assert control["val_accuracy"] < augmented["val_accuracy"]
    assert control["val_cross_entropy"] > augmented["val_cross_entropy"]


def test_the_augmented_variant_in_the_control_is_the_one_of_the_study(workspace: Workspace, results: Results) -> None:
    augmented = storage.read_table(workspace.root / "benchmarks" / "updates.csv").iloc[1]
    assert augmented["val_accuracy"] == results.trained("four_nine_dropout_augment")["validation"]["last"]["accuracy"]


def test_amplitudes_extrapolate_and_frequencies_do_not(workspace: Workspace) -> None:
    table = storage.read_table(workspace.evaluation_details("sine-waves", "sine_64x16") / "predictions.csv")
    for name in ("a", "c"):
        assert (table.loc[table[f"true_{name}"] == 2, f"predicted_{name}"] - 2).abs().max() < 0.2
    for name in ("b", "d"):
        assert (table.loc[table[f"true_{name}"] == 2, f"predicted_{name}"] - 2).abs().min() > 0.5
