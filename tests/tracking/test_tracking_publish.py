"""What the publishing functions leave in MLflow, once and when repeated."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.environment import prepare_environment
from pipeline.tracking import publish, store
from tests.tracking import store_copies


def publish_all(stages: Any) -> None:
    workspace, params = stages.workspace, stages.params
    publish.publish(workspace, params, "fetch", "digit-files")
    publish.publish(workspace, params, "prepare", "mnist")
    for name in ("small", "large"):
        publish.publish(workspace, params, "train", name)
    publish.publish(workspace, params, "evaluate", "digits")
    publish.publish(workspace, params, "compare", "digits")
    publish.publish(workspace, params, "summarize", "all")
    publish.publish(workspace, params, "register", "mnist-classifier")


@pytest.fixture(scope="module")
def seen(make_stages_in: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A workspace with everything in it, published, for tests that only look."""
    with store_copies.without_settings():
        stages = make_stages_in(tmp_path_factory.mktemp("seen"))
        stages.everything()
        publish_all(stages)
    return stages


@pytest.fixture
def published(seen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same for one test alone."""
    return store_copies.copy(seen, tmp_path / "project", monkeypatch)


def everything_in(stages: Any) -> dict[str, list[str]]:
    """Ids of runs and models by experiment."""
    view = stages.view
    content = {name: sorted(run.info.run_id for run in view.runs(name)) for name in view.experiments()}
    experiments = [view.client.get_experiment_by_name(name).experiment_id for name in view.experiments()]
    content["models"] = sorted(model.model_id for model in view.client.search_logged_models(experiments))
    content["versions"] = sorted(version.version for version in view.client.search_model_versions())
    return content


def test_a_variant_becomes_one_run_with_all_that_is_known(stages: Any) -> None:
    stages.prepare()
    stages.train("small")
    publish.publish(stages.workspace, stages.params, "train", "small")
    view = stages.view
    run = view.run("digits", "small")
    assert run.info.status == "FINISHED"
    expected_params = {
        "family": "mlp",
        "engine": "jax",
        "layers": "64 dropout 0.2 batch_norm; 16",
        "optimizer.name": "adam",
        "optimizer.learning_rate": "0.001",
        "batch_size": "128",
        "epochs": "3",
        "seed": "7",
        "threads": "1",
        "parameters.total": "2355",
        "parameters.trainable": "2355",
    }
    assert expected_params.items() <= run.data.params.items()
    expected_tags = {"study": "digits", "dataset": "mnist", "dvc_stage": "train@small", "data": "real"}
    assert expected_tags.items() <= run.data.tags.items()
    assert len(run.data.tags["content_key"]) == 64
    assert run.data.metrics["best_val_accuracy"] == 0.95
    assert run.data.metrics["best_epoch"] == 2
    assert run.data.metrics["train_evaluated_accuracy"] == 0.9
    assert view.curve(run, "val_accuracy") == [(1, 1.5), (2, 2.5), (3, 3.5)]
    assert view.curve(run, "learning_rate") == [(1, 1.6), (2, 2.6), (3, 3.6)]
    assert view.files(run, "training") == {"curves.png", "history.csv", "metrics.json"}
    inputs = {(item.dataset.name, item.dataset.digest, item.tags[0].value) for item in run.inputs.dataset_inputs}
    assert inputs == {("mnist-train", "1" * 36, "training"), ("mnist-validation", "2" * 36, "validation")}
    (output,) = run.outputs.model_outputs
    model = view.client.get_logged_model(output.model_id)
    assert (model.name, model.status, model.source_run_id) == ("small", "READY", run.info.run_id)
    assert not any(name.startswith("test_") for name in run.data.metrics)


def test_publishing_again_changes_nothing(published: Any) -> None:
    first = everything_in(published)
    publish_all(published)
    assert everything_in(published) == first
    assert {name: len(ids) for name, ids in first.items()} == {
        "data": 2,
        "digits": 4,
        "activity": 1,
        "summary": 1,
        "model-selection": 1,
        "models": 3,
        "versions": 1,
    }


def test_a_variant_of_two_studies_has_a_run_in_each(stages: Any) -> None:
    stages.train("large")
    publish.publish(stages.workspace, stages.params, "train", "large")
    runs = [stages.view.run(study, "large") for study in ("digits", "activity")]
    assert [run.data.tags["study"] for run in runs] == ["digits", "activity"]
    assert runs[0].data.tags["content_key"] == runs[1].data.tags["content_key"]
    assert runs[0].data.metrics == runs[1].data.metrics


def test_training_anew_makes_a_new_run_and_keeps_the_old_one(stages: Any) -> None:
    stages.train("small")
    publish.publish(stages.workspace, stages.params, "train", "small")
    stages.train("small", seed=1.0)
    publish.publish(stages.workspace, stages.params, "train", "small")
    runs = stages.view.runs("digits")
    assert sorted(run.data.metrics["best_train_loss"] for run in runs) == [0.4, 1.4]


def test_evaluation_completes_the_run_of_its_model(stages: Any) -> None:
    stages.prepare()
    for name in ("small", "large"):
        stages.train(name)
        publish.publish(stages.workspace, stages.params, "train", name)
    stages.evaluate(accuracy=0.75)
    publish.publish(stages.workspace, stages.params, "evaluate", "digits")
    run = stages.view.run("digits", "small")
    assert (run.data.metrics["test_accuracy"], run.data.metrics["test_macro_f1"]) == (0.75, 0.7)
    assert stages.view.files(run, "evaluation") == {"per_class.csv", "confusion_matrix.png"}
    assert ("mnist-test", "3" * 36) in {(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs}
    summary = stages.view.run("digits", "evaluate@digits")
    assert summary.data.metrics["small/accuracy"] == 0.75


def test_a_new_evaluation_of_the_same_model_replaces_the_old_one(stages: Any, tmp_path: Path) -> None:
    stages.train("small")
    stages.train("large")
    for accuracy in (0.75, 0.5):
        stages.evaluate(accuracy=accuracy)
        publish.publish(stages.workspace, stages.params, "evaluate", "digits")
    run = stages.view.run("digits", "small")
    assert run.data.metrics["test_accuracy"] == 0.5
    path = stages.view.client.download_artifacts(run.info.run_id, "evaluation/confusion_matrix.png", str(tmp_path))
    assert Path(path).read_text() == "matrix 0.5"


def test_evaluation_of_another_model_is_not_attached(stages: Any) -> None:
    stages.train("small")
    stages.train("large")
    stages.evaluate()
    variant = stages.params.all_variants["small"]
    stages.workspace.model("small", variant).write_bytes(b"trained anew, not evaluated yet")
    publish.publish(stages.workspace, stages.params, "train", "small")
    assert "test_accuracy" not in stages.view.run("digits", "small").data.metrics


def test_runs_of_the_data_and_of_the_comparison(seen: Any) -> None:
    view = seen.view
    fetched, prepared = view.run("data", "fetch@digit-files"), view.run("data", "prepare@mnist")
    assert fetched.data.metrics["bytes/train-images-idx3-ubyte.gz"] == len("train-images-idx3-ubyte.gz")
    assert prepared.data.metrics["num_examples/validation"] == 6
    assert view.files(prepared, "data") == {"statistics.json", "examples.png"}
    compared = view.run("digits", "compare@digits")
    assert compared.data.metrics["small/test_accuracy"] == 0.75
    # A cell of the ranking that is empty is no figure.
    assert "large/test_accuracy" not in compared.data.metrics
    assert view.files(compared, "comparison") == {"ranking.csv", "differences.csv", "test_accuracy.png"}
    assert compared.data.metrics["num_pairs"] == 1
    assert compared.data.tags["mlflow.note.content"].splitlines() == [
        "Test accuracies that do not differ significantly:",
        "",
        "- small: large",
        "- large: small",
    ]


def test_the_summary_is_a_run_with_the_table(stages: Any) -> None:
    stages.summarize()
    publish.publish(stages.workspace, stages.params, "summarize", "all")
    run = stages.view.run("summary", "summarize")
    assert (run.data.metrics["num_rows"], run.data.metrics["num_variants"]) == (3, 2)
    assert (run.data.tags["dvc_stage"], run.data.tags["data"]) == ("summarize", "real")
    assert json.loads(run.data.tags["dvc_outputs"]).keys() == {"results/variants.csv", "results/metrics"}
    artifacts = stages.view.client.list_artifacts(run.info.run_id, "summary")
    assert [item.path for item in artifacts] == ["summary/variants.csv"]


def test_demo_data_has_experiments_of_its_own(make_stages: Callable[..., Any]) -> None:
    stages = make_stages(embedded=True)
    stages.everything()
    publish_all(stages)
    names = {"data", "digits", "activity", "summary", "model-selection"}
    assert stages.view.experiments() == {f"demo/{name}" for name in names}
    assert stages.view.run("demo/digits", "small").data.tags["data"] == "embedded"
    assert [model.name for model in stages.view.client.search_registered_models()] == ["demo-mnist-classifier"]


def test_runs_nest_below_the_run_of_mlflow_run(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = stages.view.client
    parent = client.create_run(client.create_experiment("project"), run_name="main")
    monkeypatch.setenv("MLFLOW_RUN_ID", parent.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    prepare_environment()
    stages.fetch()
    stages.train("small")
    publish.publish(stages.workspace, stages.params, "fetch", "digit-files")
    publish.publish(stages.workspace, stages.params, "train", "small")
    for experiment, name in (("data", "fetch@digit-files"), ("digits", "small")):
        run = stages.view.run(experiment, name)
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    untouched = client.get_run(parent.info.run_id)
    assert (untouched.info.run_name, untouched.info.status, untouched.data.params) == ("main", "RUNNING", {})


def test_a_parent_of_another_store_is_ignored(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    prepare_environment()
    stages.fetch()
    publish.publish(stages.workspace, stages.params, "fetch", "digit-files")
    assert "mlflow.parentRunId" not in stages.view.run("data", "fetch@digit-files").data.tags


def test_the_commit_is_a_tag_or_why_there_is_none(stages: Any) -> None:
    root = stages.workspace.root
    stages.prepare()
    publish.publish(stages.workspace, stages.params, "prepare", "mnist")
    assert stages.view.run("data", "prepare@mnist").data.tags["git_commit_missing"] == "not in a git repository"
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "first"], cwd=root, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
    stages.fetch()
    publish.publish(stages.workspace, stages.params, "fetch", "digit-files")
    assert stages.view.run("data", "fetch@digit-files").data.tags["git_commit"] == head.stdout.strip()


def test_the_store_lies_in_the_root_that_dvc_names(
    make_stages: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, temporary = make_stages("project"), make_stages("temporary")
    (temporary.workspace.root / "mlflow.db").unlink()
    monkeypatch.setenv("DVC_ROOT", str(project.workspace.root))
    monkeypatch.chdir(tmp_path)
    for uri in (None, "sqlite:///mlflow.db"):
        if uri is not None:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        temporary.fetch()
        publish.publish(temporary.workspace, temporary.params, "fetch", "digit-files")
    assert len(project.view.runs("data")) == 1
    assert not (temporary.workspace.root / "mlflow.db").exists()
    assert not (tmp_path / "mlflow.db").exists()
    experiment = project.view.client.get_experiment_by_name("data")
    assert experiment.artifact_location == str(project.workspace.root / "mlartifacts" / "data")


def test_artifacts_follow_a_project_that_moved(published: Any, make_stages: Callable[..., Any], tmp_path: Path) -> None:
    before = everything_in(published)
    moved = make_stages("moved")
    shutil.rmtree(moved.workspace.root)
    shutil.move(published.workspace.root, moved.workspace.root)
    publish_all(moved)
    assert everything_in(moved) == before
    run = moved.view.run("digits", "small")
    assert moved.view.files(run, "training") == {"curves.png", "history.csv", "metrics.json"}
    model = moved.view.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert Path(model.artifact_location).is_relative_to(moved.workspace.root)
    assert moved.view.client.get_model_version_download_uri("mnist-classifier", "1") == model.artifact_location


@pytest.mark.slow
def test_two_processes_make_one_database_and_one_run(stages: Any) -> None:
    (stages.workspace.root / "mlflow.db").unlink()
    stages.train("small")
    code = "sys.stdin.readline(); publish.publish(workspace, params, 'train', 'small')"
    processes = [stages.process(code) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    assert len(stages.view.runs("digits")) == 1


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_an_unreachable_server_is_a_warning(
    stages: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    stages.train("small")
    start = time.monotonic()
    publish.publish(stages.workspace, stages.params, "train", "small")
    assert time.monotonic() - start < 10
    message = capsys.readouterr().err
    assert f"WARNING: MLflow at {uri} could not be reached" in message
    assert "Everything trained is kept" in message
    assert "`python -m pipeline sync`" in message


def test_a_server_that_never_answers_is_a_warning(
    stages: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "PROBE_TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{port}")
        stages.train("small")
        publish.publish(stages.workspace, stages.params, "train", "small")
    message = capsys.readouterr().err
    assert f"WARNING: MLflow at http://user:***@127.0.0.1:{port} could not be reached" in message
    assert "secret" not in message


def test_a_database_that_is_none_is_a_warning(stages: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (stages.workspace.root / "mlflow.db").write_text("this is no database " * 100)
    stages.train("small")
    publish.publish(stages.workspace, stages.params, "train", "small")
    assert "file is not a database" in capsys.readouterr().err
