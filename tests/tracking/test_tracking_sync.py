"""`sync`: MLflow can be thrown away, or damaged, and comes back without duplicates."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PipelineError
from pipeline.tracking import publish
from pipeline.tracking.publish import ARTIFACT_FOLDER, SyncReport
from tests.tracking import store_copies

NUM_RUNS = 9


@pytest.fixture(scope="module")
def all_published(make_stages_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A workspace with everything in it, after a sync."""
    with store_copies.without_settings():
        stages = make_stages_in(tmp_path_factory.mktemp("published"))
        stages.everything()
        sync(stages)
    return stages


@pytest.fixture
def published(all_published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same for one test alone."""
    return store_copies.copy(all_published, tmp_path / "project", monkeypatch)


def sync(stages: Any) -> SyncReport:
    return publish.synchronize(stages.workspace, stages.params)


def counts(report: SyncReport) -> tuple[int, int, int]:
    return len(report.created), len(report.repaired), len(report.unchanged)


def test_a_workspace_without_outputs_gives_no_runs(stages: Any) -> None:
    report = sync(stages)
    assert report.num_changes == 0
    assert report.skipped == [
        "fetch@digit-files",
        "prepare@mnist",
        "train@small",
        "train@large",
        "train@other",
        "evaluate@digits",
        "evaluate@activity",
        "compare@digits",
        "compare@activity",
        "summarize",
        "register@mnist-classifier",
    ]


def test_the_second_sync_has_nothing_to_do(stages: Any) -> None:
    stages.everything()
    # Nine runs and a registered model.
    assert counts(sync(stages)) == (NUM_RUNS + 1, 0, 0)
    report = sync(stages)
    assert counts(report) == (0, 0, NUM_RUNS + 1)
    assert report.num_changes == 0
    assert report.skipped == ["train@other", "evaluate@activity", "compare@activity"]
    assert str(report).startswith("0 created, 0 repaired, 10 unchanged, 3 skipped")


def test_a_deleted_database_comes_back_the_same(published: Any) -> None:
    before = {run.info.run_name: run for run in published.view.runs("digits")}
    below = (published.workspace.root / "mlartifacts").rglob("*")
    folders = {path.name for path in below if ARTIFACT_FOLDER.fullmatch(path.name)}
    (published.workspace.root / "mlflow.db").unlink()
    # MLflow keeps the old database open in this process.
    printed = published.python(
        """
import json
reports = [publish.synchronize(workspace, params) for _ in range(2)]
print(json.dumps([[len(item.created), item.num_changes - len(item.removed)] for item in reports]))
print(json.dumps(sorted(Path(name).name for name in reports[0].removed)))
from mlflow import MlflowClient
client = MlflowClient(f"sqlite:///{workspace.root}/mlflow.db")
for run in client.search_runs([client.get_experiment_by_name("digits").experiment_id]):
    print(json.dumps([run.info.run_name, run.data.metrics, run.data.params, run.info.start_time]))
print(client.get_model_version_by_alias("mnist-classifier", "champion").version)
"""
    ).splitlines()
    assert json.loads(printed[0]) == [[NUM_RUNS + 1, NUM_RUNS + 1], [0, 0]]
    # The artifact folders of the first database, which nothing refers to any more.
    assert set(json.loads(printed[1])) == folders
    rows = [json.loads(line) for line in printed[2:-1]]
    assert {name: (metrics, params, start) for name, metrics, params, start in rows} == {
        name: (run.data.metrics, run.data.params, run.info.start_time) for name, run in before.items()
    }
    assert printed[-1] == "1"


@pytest.mark.slow
def test_two_syncs_at_once_make_nothing_twice(stages: Any) -> None:
    (stages.workspace.root / "mlflow.db").unlink()
    stages.everything()
    code = "sys.stdin.readline(); print(publish.synchronize(workspace, params))"
    processes = [stages.process(code) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "")
    view = stages.view
    names = [(experiment, run.info.run_name) for experiment in view.experiments() for run in view.runs(experiment)]
    assert len(names) == len(set(names)) == NUM_RUNS
    assert len(view.client.search_model_versions("name = 'mnist-classifier'")) == 1
    assert sync(stages).num_changes == 0


def test_a_database_whose_making_is_killed_is_made_anew(stages: Any) -> None:
    """MLflow makes its tables one by one, and cannot open a database that lacks some."""
    database = stages.workspace.root / "mlflow.db"
    database.unlink()
    half = stages.workspace.root / ".mlflow.db.tmp" / "mlflow.db"
    stages.everything()
    with stages.process("publish.synchronize(workspace, params)") as process:
        deadline = time.monotonic() + 120
        while not (half.exists() and half.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert half.exists()
    assert not database.exists()
    assert sync(stages).num_changes == NUM_RUNS + 1
    assert not half.parent.exists()


def test_what_was_deleted_in_mlflow_is_repaired(published: Any) -> None:
    view = published.view
    small, large = view.run("digits", "small"), view.run("digits", "large")
    model = view.client.get_logged_model(small.outputs.model_outputs[0].model_id)
    (Path(model.artifact_location) / "MLmodel").unlink()
    view.client.delete_tag(large.info.run_id, "study")
    shutil.rmtree(Path(large.info.artifact_uri) / "evaluation")
    view.client.delete_run(view.run("digits", "compare@digits").info.run_id)
    report = sync(published)
    assert sorted(report.repaired) == ["digits: large", "digits: small"]
    assert report.created == ["digits: compare@digits"]
    assert (Path(model.artifact_location) / "MLmodel").is_file()
    assert view.files(large, "evaluation") == {"per_class.csv", "confusion_matrix.png"}
    assert sync(published).num_changes == 0


def test_a_run_that_was_left_half_written_is_completed(published: Any) -> None:
    view = published.view
    run = view.run("digits", "small")
    half = view.client.create_run(run.info.experiment_id, run_name="small", tags=run.data.tags)
    view.client.log_metric(half.info.run_id, "loss", published.epoch(2)["loss"], step=2)
    view.client.delete_run(run.info.run_id)
    assert sync(published).repaired == ["digits: small"]
    repaired = view.run("digits", "small")
    assert (repaired.info.run_id, repaired.info.status) == (half.info.run_id, "FINISHED")
    assert view.curve(repaired, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_duplicates_are_removed(stages: Any) -> None:
    stages.train("small")
    sync(stages)
    first = stages.view.run("digits", "small")
    double = stages.view.client.create_run(first.info.experiment_id, run_name="small", tags=first.data.tags)
    stages.view.client.set_terminated(double.info.run_id)
    assert len(sync(stages).removed) == 1
    assert stages.view.run("digits", "small").info.run_id == first.info.run_id


def test_folders_that_nothing_refers_to_are_removed(published: Any) -> None:
    artifacts = published.workspace.root / "mlartifacts"
    orphans = [artifacts / "digits" / ("a" * 32), artifacts / "digits" / "models" / f"m-{'b' * 32}"]
    notes = artifacts / "notes"
    for folder in (*orphans, notes):
        folder.mkdir()
    kept = {path for path in artifacts.rglob("*") if path not in orphans}
    assert sorted(sync(published).removed) == sorted(map(str, orphans))
    assert set(artifacts.rglob("*")) == kept


def test_what_another_database_in_the_folder_knows_stays(
    published: Any, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = set((published.workspace.root / "mlartifacts").rglob("*"))
    assert kept
    shutil.copyfile(empty_database, published.workspace.root / "scratch.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{published.workspace.root}/scratch.db")
    assert sync(published).removed == []
    assert any((published.workspace.root / "scratch-mlartifacts").rglob("*"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync(published).num_changes == 0
    assert set((published.workspace.root / "mlartifacts").rglob("*")) == kept


def test_a_run_that_another_program_marked_with_a_process_is_left_alone(stages: Any) -> None:
    stages.train("small")
    sync(stages)
    client = stages.view.client
    foreign = client.create_run(client.create_experiment("elsewhere"), tags={"process": "etl"})
    assert sync(stages).closed == []
    assert client.get_run(foreign.info.run_id).info.status == "RUNNING"


def test_a_deleted_run_keeps_its_files_for_being_restored(stages: Any) -> None:
    stages.train("small")
    sync(stages)
    run = stages.view.run("digits", "small")
    stages.view.client.delete_run(run.info.run_id)
    sync(stages)
    assert (Path(run.info.artifact_uri) / "training" / "history.csv").is_file()


def test_an_experiment_that_was_deleted_is_restored(stages: Any) -> None:
    stages.train("small")
    sync(stages)
    client = stages.view.client
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    sync(stages)
    assert client.get_experiment_by_name("digits").lifecycle_stage == "active"
    assert stages.view.run("digits", "small").info.status == "FINISHED"


def test_an_unreachable_server_is_an_error(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(PipelineError, match=r"http://127\.0\.0\.1:1: MLflow could not be reached"):
        sync(stages)


def test_a_damaged_output_is_an_error_that_names_it(stages: Any) -> None:
    stages.train("small")
    path = stages.workspace.training_results("small", stages.params.all_variants["small"]) / "metrics.json"
    path.write_text("{")
    with pytest.raises(PipelineError, match=r"small/metrics\.json: expected a JSON object"):
        sync(stages)


def test_a_selection_of_a_variant_that_is_gone_is_skipped(published: Any) -> None:
    published.select("small")
    path = published.workspace.selection("mnist-classifier")
    path.write_text(path.read_text().replace('"small"', '"forgotten"'))
    assert "register@mnist-classifier" in sync(published).skipped
