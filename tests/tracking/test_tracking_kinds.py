"""Signals, features, searches, sweeps and what hangs on them, as MLflow shows them; and that `sync` restores all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.tracking import live, publish
from pipeline.tracking.records.outputs import NotMadeYetError


def inputs_of(run: Any) -> dict[str, tuple[str, str]]:
    """Digest and context of each dataset that a run was shown, by name."""
    return {item.dataset.name: (item.dataset.digest[:1], item.tags[0].value) for item in run.inputs.dataset_inputs}


def schema_of(run: Any, name: str) -> dict[str, list[Any]]:
    """Number type and shape of the features and targets of a dataset that a run was shown."""
    (text,) = [item.dataset.schema for item in run.inputs.dataset_inputs if item.dataset.name == name]
    found = {}
    for part, value in json.loads(text)["mlflow_tensorspec"].items():
        (tensor,) = json.loads(value)
        found[part] = [tensor["tensor-spec"]["dtype"], tensor["tensor-spec"]["shape"]]
    return found


def test_a_signal_has_its_statistics_and_four_splits(whole: Any) -> None:
    whole.generate()
    publish.publish(whole.workspace, whole.params, "generate", "waves")
    run = whole.view.run("data", "generate@waves")
    assert (run.data.metrics["num_examples/extended"], run.data.metrics["train_parameters/a/mean"]) == (2, 0.5)
    assert run.data.params["num_points"] == "20"
    assert whole.view.files(run, "data") == {"statistics.json", "example.png"}
    assert inputs_of(run) == {
        "waves-train": ("5", "training"),
        "waves-validation": ("6", "validation"),
        "waves-test": ("7", "testing"),
        "waves-extended": ("8", "extended_testing"),
    }
    assert schema_of(run, "waves-test") == {"features": ["float32", [-1, 20]], "targets": ["float32", [-1, 4]]}


def test_a_dataset_has_images_and_labels(whole: Any) -> None:
    whole.prepare()
    publish.publish(whole.workspace, whole.params, "prepare", "mnist")
    run = whole.view.run("data", "prepare@mnist")
    assert schema_of(run, "mnist-test") == {"features": ["uint8", [-1, 28, 28]], "targets": ["uint8", [-1]]}


def test_weights_and_features_tell_their_origin_and_size(whole: Any) -> None:
    whole.fetch_weights()
    whole.features()
    publish.publish(whole.workspace, whole.params, "fetch_weights", "mobilenet")
    publish.publish(whole.workspace, whole.params, "features", "mnist-32")
    weights = whole.view.run("data", "fetch_weights@mobilenet")
    assert (weights.data.tags["weights"], weights.data.metrics["bytes"]) == ("published", len("weights"))
    assert len(weights.data.params["sha256"]) == 64
    features = whole.view.run("data", "features@mnist-32")
    assert (features.data.params["shape.train"], features.data.params["shape.validation"]) == ("54 x 7", "6 x 7")
    assert (features.data.params["resize"], features.data.params["size"]) == ("pad", "32")


def test_random_weights_are_told_wherever_they_count(make_stages: Callable[..., Any]) -> None:
    stages = make_stages(whole=True, embedded=True)
    stages.fetch_weights()
    stages.features()
    stages.train("transfer")
    publish.publish(stages.workspace, stages.params, "fetch_weights", "mobilenet")
    publish.publish(stages.workspace, stages.params, "features", "mnist-32")
    publish.publish(stages.workspace, stages.params, "train", "transfer")
    runs = [
        stages.view.run("demo/data", "fetch_weights@mobilenet"),
        stages.view.run("demo/data", "features@mnist-32"),
        stages.view.run("demo/digits", "transfer"),
    ]
    assert [run.data.tags["weights"] for run in runs] == ["random"] * 3
    expected = {"features": "mnist-32", "features.resize": "pad", "features.size": "32", "weights.kind": "random"}
    assert expected.items() <= runs[-1].data.params.items()
    assert runs[-1].data.tags["dvc_stage"] == "transfer@transfer"


def test_damaged_features_are_an_error_that_names_them(whole: Any) -> None:
    whole.features()
    whole.workspace.features("mnist-32", "train").write_bytes(b"no archive")
    with pytest.raises(PipelineError, match=r"mnist-32/train\.npz: expected a NumPy archive with features"):
        publish.publish(whole.workspace, whole.params, "features", "mnist-32")


def test_a_derived_variant_tells_the_layers_that_were_chosen(whole: Any) -> None:
    whole.search()
    whole.train("grid_1")
    publish.publish(whole.workspace, whole.params, "train", "grid_1")
    run = whole.view.run("digits", "grid_1")
    assert run.data.params["layers"] == "512 dropout 0.5 batch_norm; 128 dropout 0.5 batch_norm"
    assert (run.data.params["layers_from"], run.data.tags["dvc_stage"]) == ("grid_1", "derive@grid_1")


def test_a_damaged_outcome_is_an_error_that_names_it(whole: Any) -> None:
    whole.search()
    whole.train("grid_1")
    whole.workspace.outcome("grid_1").write_text('{"layers": [{"units": -1}]}')
    with pytest.raises(PipelineError, match=r"outcomes/grid_1\.json: expected `layers`"):
        publish.publish(whole.workspace, whole.params, "train", "grid_1")


def test_kernels_are_attached_to_the_variant_they_are_of(whole: Any) -> None:
    whole.search()
    whole.train("grid_1")
    with pytest.raises(NotMadeYetError):
        publish.publish(whole.workspace, whole.params, "kernels", "grid_1")
    whole.kernels("grid_1")
    publish.publish(whole.workspace, whole.params, "kernels", "grid_1")
    run = whole.view.run("digits", "grid_1")
    assert whole.view.files(run, "kernels") == {"statistics.csv", "violins.png"}


def test_kernels_of_the_model_before_are_not_attached_to_a_new_one(whole: Any) -> None:
    whole.search()
    whole.kernels("grid_1")
    with live.training_run(whole.workspace, whole.params, "grid_1"):
        whole.train("grid_1")
    run = whole.view.run("digits", "grid_1")
    assert whole.view.files(run, "training") == {"curves.png", "history.csv", "metrics.json"}
    assert whole.view.files(run, "kernels") == set()


def test_a_sweep_tells_whom_it_chose(whole: Any) -> None:
    whole.sweep()
    publish.publish(whole.workspace, whole.params, "sweep", "rates")
    run = whole.view.run("digits", "sweep@rates")
    assert run.data.params["selected"] == "rate_20"
    assert run.data.metrics == {
        "best_val_accuracy": 0.9,
        "num_members": 2,
        "val_accuracy/rate_10": 0.8,
        "val_accuracy/rate_20": 0.9,
    }
    assert whole.view.files(run, "sweep") == {"rates.json"}


def test_a_regressor_has_its_errors_and_its_evaluation(whole: Any) -> None:
    whole.generate()
    with live.training_run(whole.workspace, whole.params, "wave_net") as run:
        run.log_epoch(1, {"val_mean_absolute_error": 0.5})
        whole.train("wave_net")
    whole.evaluate_signal()
    publish.publish(whole.workspace, whole.params, "evaluate_signal", "waves")
    run = whole.view.run("waves", "wave_net")
    expected = {
        "best_val_mean_absolute_error": 0.03,
        "train_evaluated_mean_absolute_error": 0.02,
        "test_mean_absolute_error": 0.05,
        "test_parameters/b": 0.06,
        "extended_mean_absolute_error": 0.7,
        "reported_mean_absolute_error": 0.03,
    }
    assert expected.items() <= run.data.metrics.items()
    assert not [name for name in run.data.metrics if name.startswith("test_reported") or "test_validation" in name]
    assert whole.view.files(run, "evaluation") == {"predictions.csv", "test_curves.png"}
    assert set(inputs_of(run)) == {"waves-train", "waves-validation", "waves-test", "waves-extended"}
    model = whole.view.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert model.model_type == "regressor"
    evaluated = whole.view.run("waves", "evaluate_signal@waves")
    assert evaluated.data.metrics["wave_net/extended/mean_absolute_error"] == 0.7
    assert whole.view.files(evaluated, "evaluation") == {"metrics.json", "answers.json", "differences.csv"}
    assert whole.view.client.get_experiment_by_name("waves").tags["mlflow.note.content"] == "Waves"


def test_a_contrast_shows_gains_and_overfitting(whole: Any) -> None:
    whole.contrast()
    publish.publish(whole.workspace, whole.params, "contrast", "digits")
    run = whole.view.run("digits", "contrast@digits")
    assert run.data.metrics == {"large/gain_points": 1.5, "small/gap_points": 4.5}
    assert (run.data.params, run.data.tags["mlflow.note.content"]) == ({"baseline": "small"}, "It visibly overfits.")
    assert whole.view.files(run, "contrast") == {"gains.csv", "overfitting.json", "overfitting.png"}


def test_repeats_have_a_run_per_seed_below_one(whole: Any) -> None:
    whole.repeat()
    for _ in range(2):
        publish.publish(whole.workspace, whole.params, "repeat", "small")
    run = whole.view.run("digits", "repeat@small")
    assert run.data.metrics == {"num_seeds": 2, "mean_epochs": 3, "mean_val_accuracy": 0.5}
    assert (run.data.params["seeds"], run.data.params["epochs"]) == ("2", "3")
    assert whole.view.files(run, "repeats") == {"small.csv"}
    seeds = whole.params.seeds_of("small")
    children = [whole.view.run("digits", f"seed {seed}") for seed in seeds]
    assert [child.data.tags["mlflow.parentRunId"] for child in children] == [run.info.run_id] * 2
    assert [child.data.params for child in children] == [{"seed": str(seed)} for seed in seeds]
    assert [child.data.metrics for child in children] == [
        {"epochs": 3, "val_accuracy": 0.75},
        {"epochs": 3, "val_accuracy": 0.25},
    ]


def test_what_the_seeds_change_is_a_run_of_the_study(whole: Any) -> None:
    whole.evaluate_repeats()
    publish.publish(whole.workspace, whole.params, "evaluate_repeats", "digits")
    run = whole.view.run("digits", "evaluate_repeats@digits")
    assert run.data.metrics == {"small/num_seeds": 2, "small/test_accuracy_mean": 0.375}
    assert whole.view.files(run, "repeats") == {"seeds.csv", "summary.csv", "differences.csv", "accuracy.png"}


def test_damaged_repeats_are_named(whole: Any) -> None:
    whole.repeat()
    whole.workspace.repeated_training("digits", "small").write_text("epochs\n3\n")
    with pytest.raises(PipelineError, match=r"training/small\.csv: expected the column 'seed', got only epochs"):
        publish.publish(whole.workspace, whole.params, "repeat", "small")


def test_conclusions_show_their_verdicts_and_pictures(whole: Any) -> None:
    whole.conclude()
    publish.publish(whole.workspace, whole.params, "conclude", "digits")
    run = whole.view.run("digits", "conclude@digits")
    assert run.data.params == {"conclusion_5": "undecided"}
    assert run.data.metrics == {"conclusion_5/low/0": 0.25, "agreement_with_reported/rank_correlation": 0.5}
    assert run.data.tags["mlflow.note.content"] == "- Three are best. **undecided**"
    files = whole.view.files(run, "conclusions")
    assert files == {"conclusions.json", "closing_table.csv", "reported_against_measured.png", "heat_maps"}
    assert whole.view.files(run, "conclusions/heat_maps") == {"grid_1.png"}


def test_the_table_of_configurations_is_a_run(whole: Any) -> None:
    whole.tabulate()
    publish.publish(whole.workspace, whole.params, "tabulate", "all")
    run = whole.view.run("summary", "tabulate")
    assert (run.data.metrics["num_rows"], run.data.metrics["num_searches"]) == (2, 1)
    assert whole.view.files(run, "searches") == {"searches.csv"}


def test_a_regressor_is_registered_with_its_own_metric(whole: Any) -> None:
    whole.generate()
    whole.train("wave_net")
    whole.select_regressor()
    publish.publish(whole.workspace, whole.params, "register", "wave-regressor")
    client = whole.view.client
    assert "the parameters (a, b, c, d) of waves" in client.get_registered_model("wave-regressor").description
    version = client.get_model_version_by_alias("wave-regressor", "champion")
    assert "| validation | 0.0400 |" in version.description


def test_sync_makes_every_kind_once(whole: Any) -> None:
    whole.whole_study()
    first = publish.synchronize(whole.workspace, whole.params)
    assert first.skipped == []
    assert whole.view.experiments() == {"data", "digits", "activity", "waves", "summary", "model-selection"}
    second = publish.synchronize(whole.workspace, whole.params)
    assert (second.num_changes, len(second.unchanged)) == (0, len(first.created))
    assert_completed_once(whole)


def assert_completed_once(whole: Any) -> None:
    """A state that was synchronized is known, and no other; what was deleted by hand since is for `synchronize`."""

    def complete() -> publish.SyncReport | None:
        return publish.complete(whole.workspace, whole.params)

    assert complete() is None
    lock = whole.workspace.root / "dvc.lock"
    lock.write_text("schema: '2.0'\n")
    assert isinstance(complete(), publish.SyncReport)
    assert complete() is None
    client = whole.view.client
    client.delete_run(whole.view.run("data", "prepare@mnist").info.run_id)
    assert complete() is None
    assert len(publish.synchronize(whole.workspace, whole.params).created) == 1


def test_sync_skips_every_kind_that_is_not_made_yet(whole: Any) -> None:
    report = publish.synchronize(whole.workspace, whole.params)
    # What is skipped may be there the next time.
    assert publish.complete(whole.workspace, whole.params) is not None
    assert report.num_changes == 0
    assert {name.partition("@")[0] for name in report.skipped} == {
        "compare",
        "conclude",
        "contrast",
        "derive",
        "evaluate",
        "evaluate_repeats",
        "evaluate_signal",
        "features",
        "fetch",
        "fetch_weights",
        "generate",
        "prepare",
        "register",
        "regress",
        "repeat",
        "search",
        "summarize",
        "sweep",
        "tabulate",
        "train",
        "train_swept",
        "transfer",
    }
