"""The runs of a search: seen while it goes on, complete at its end, restored below whatever their parent is then."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.runtime.environment import prepare_environment
from pipeline.tracking import live, publish, runs
from tests.tracking.test_tracking_live import wait_until

NAME = "search: grid_1"
UNITS = ("256-32", "256-64", "256-128", "512-32", "512-64", "512-128")
KEPT_TAGS = ("stage", "dvc_stage", "study", "search", "units", "dataset", "data")


def search_live(stages: Any, *, num_done: int = 0, seed: float = 0.0) -> None:
    """What the stage of a search does."""
    with live.search_run(stages.workspace, stages.params, "grid_1", num_done=num_done) as run:
        for units in UNITS[num_done:]:
            run.log_configuration(units, 1.5, {"mean_accuracy": 0.5})
        stages.search(seed=seed)


def children(stages: Any, parent: Any) -> dict[str, Any]:
    """The runs below a run, by name."""
    experiment = stages.view.client.get_experiment(parent.info.experiment_id).name
    found = [
        run for run in stages.view.runs(experiment) if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def content(stages: Any) -> dict[str, Any]:
    """What is shown of a search, without ids and what only a live run knows."""
    parent = stages.view.run("digits", NAME)
    shown = {}
    for name, run in {NAME: parent, **children(stages, parent)}.items():
        metrics = {key: value for key, value in run.data.metrics.items() if not key.startswith(("wall", "config"))}
        tags = {key: run.data.tags.get(key) for key in (*KEPT_TAGS, runs.CONTENT_KEY)}
        shown[name] = (run.info.status, metrics, run.data.params, tags)
    return shown


def test_a_search_and_its_configurations_are_restored_from_the_outputs(whole: Any) -> None:
    whole.prepare()
    whole.search()
    assert publish.synchronize(whole.workspace, whole.params).created == ["data: prepare@mnist", f"digits: {NAME}"]
    parent = whole.view.run("digits", NAME)
    assert parent.info.status == "FINISHED"
    assert parent.data.params["grid.2"] == "32, 64, 128"
    assert parent.data.params["block.dropout"] == "0.5"
    assert (parent.data.metrics["num_configurations"], parent.data.metrics["best_mean_accuracy"]) == (6, 0.95)
    assert (parent.data.tags["dvc_stage"], parent.data.tags["selected"]) == ("search@grid_1", "512-128")
    assert whole.view.files(parent, "search") == {"folds.csv", "grid_1.json"}
    found = children(whole, parent)
    assert set(found) == set(UNITS)
    child = found["512-32"]
    assert child.info.status == "FINISHED"
    assert child.data.params == {"units_1": "512", "units_2": "32", "parameters": "1003"}
    assert child.data.metrics["fold_3_accuracy"] == child.data.metrics["mean_accuracy"] == 0.93
    assert (child.data.tags["search"], child.data.tags["units"]) == ("grid_1", "512-32")
    assert publish.synchronize(whole.workspace, whole.params).num_changes == 0


def test_configurations_appear_while_the_search_goes_on(whole: Any) -> None:
    with live.search_run(whole.workspace, whole.params, "grid_1", num_done=2) as run:
        run.log_configuration("256-128", 1.5, {"mean_accuracy": 0.5})
        wait_until(lambda: len(whole.view.curve(whole.view.run("digits", NAME), "configurations_done")) == 2)
        parent = whole.view.run("digits", NAME)
        (child,) = children(whole, parent).values()
        assert (parent.info.status, child.info.status) == ("RUNNING", "FINISHED")
        assert whole.view.curve(parent, "configurations_done") == [(2, 2), (3, 3)]
        assert child.data.metrics == {"mean_accuracy": 0.5, "wall_seconds": 1.5}
        assert child.data.params == {"units_1": "256", "units_2": "128"}
        assert child.info.end_time - child.info.start_time == 1500
        whole.search()


def test_a_search_that_ends_well_is_complete_with_its_live_runs(whole: Any) -> None:
    # Two were done by a search that was interrupted.
    search_live(whole, num_done=2)
    parent = whole.view.run("digits", NAME)
    found = children(whole, parent)
    assert set(found) == set(UNITS)
    assert {run.info.status for run in (parent, *found.values())} == {"FINISHED"}
    assert {name for name, run in found.items() if "wall_seconds" in run.data.metrics} == set(UNITS[2:])
    # What was told meanwhile gives way to what was saved.
    assert found["512-128"].data.metrics["mean_accuracy"] == 0.95
    assert parent.data.metrics["wall_seconds"] > 0
    before = content(whole)
    assert publish.synchronize(whole.workspace, whole.params).num_changes == 0
    assert content(whole) == before


def test_the_same_search_again_leaves_the_first_runs(whole: Any) -> None:
    search_live(whole)
    parent = whole.view.run("digits", NAME)
    before = {name: run.info.run_id for name, run in children(whole, parent).items()}
    search_live(whole)
    again = whole.view.run("digits", NAME)
    assert again.info.run_id == parent.info.run_id
    assert {name: run.info.run_id for name, run in children(whole, again).items()} == before
    assert len(whole.view.runs("digits")) == 1 + len(UNITS)


def test_the_same_search_again_is_interrupted_while_it_gives_way_to_the_first(
    whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_live(whole)
    delete = MlflowClient.delete_run
    deleted: list[str] = []

    def interrupted(client: MlflowClient, run_id: str) -> None:
        if deleted:
            raise KeyboardInterrupt
        deleted.append(run_id)
        delete(client, run_id)

    monkeypatch.setattr(MlflowClient, "delete_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search_live(whole)
    finished = [run.info.run_name for run in whole.view.runs("digits") if run.info.status == "FINISHED"]
    assert sorted(finished) == sorted([NAME, *UNITS])


def test_other_figures_make_another_search(whole: Any) -> None:
    search_live(whole)
    search_live(whole, seed=0.01)
    parents = [run for run in whole.view.runs("digits") if run.info.run_name == NAME]
    assert [len(children(whole, parent)) for parent in parents] == [len(UNITS)] * 2


def test_equal_figures_of_two_searches_are_different_runs(make_stages: Any) -> None:
    stages = make_stages(whole=True, num_searches=2)
    for name in stages.params.searches:
        stages.search(name)
    publish.synchronize(stages.workspace, stages.params)
    parents = [stages.view.run("digits", f"search: {name}") for name in stages.params.searches]
    assert [len(children(stages, parent)) for parent in parents] == [len(UNITS)] * 2


def test_a_deleted_database_comes_back_with_parents_and_children(whole: Any) -> None:
    search_live(whole)
    before = content(whole)
    (whole.workspace.root / "mlflow.db").unlink()
    # MLflow keeps the old database open in this process.
    printed = whole.python(
        f"""
import json
for _ in range(2):
    publish.synchronize(workspace, params)
from mlflow import MlflowClient
client = MlflowClient(f"sqlite:///{{workspace.root}}/mlflow.db")
found = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
(parent,) = [run for run in found if run.info.run_name == {NAME!r}]
for run in found:
    is_child = run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    print(json.dumps([run.info.run_name, is_child, run.info.status, run.data.metrics, run.data.params, run.data.tags]))
"""
    ).splitlines()
    restored = {}
    for name, is_child, status, metrics, params, tags in map(json.loads, printed):
        assert is_child == (name != NAME)
        restored[name] = (status, metrics, params, {key: tags.get(key) for key in (*KEPT_TAGS, runs.CONTENT_KEY)})
    assert restored == before


def test_children_follow_a_parent_that_was_deleted_and_restored(whole: Any) -> None:
    whole.search()
    publish.synchronize(whole.workspace, whole.params)
    client, first = whole.view.client, whole.view.run("digits", NAME)
    kept = {run.info.run_id for run in children(whole, first).values()}
    client.delete_run(first.info.run_id)
    publish.synchronize(whole.workspace, whole.params)
    second = whole.view.run("digits", NAME)
    assert second.info.run_id != first.info.run_id
    assert {run.info.run_id for run in children(whole, second).values()} == kept


def test_what_was_deleted_of_a_configuration_is_repaired(whole: Any) -> None:
    whole.search()
    publish.synchronize(whole.workspace, whole.params)
    found = children(whole, whole.view.run("digits", NAME))
    whole.view.client.delete_run(found["256-32"].info.run_id)
    whole.view.client.delete_tag(found["256-64"].info.run_id, "units")
    before = content(whole)
    assert publish.synchronize(whole.workspace, whole.params).repaired == [f"digits: {NAME}"]
    after = content(whole)
    assert set(after) - set(before) == {"256-32"}
    assert after["256-64"][3]["units"] == "256-64"
    assert publish.synchronize(whole.workspace, whole.params).num_changes == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED")],
)
def test_an_exception_closes_the_search(whole: Any, error: BaseException, status: str) -> None:
    def fail() -> None:
        with live.search_run(whole.workspace, whole.params, "grid_1") as run:
            run.log_configuration("256-32", 1.5)
            raise error

    with pytest.raises(type(error)):
        fail()
    parent = whole.view.run("digits", NAME)
    assert parent.info.status == status
    (child,) = children(whole, parent).values()
    # Or the configuration would be there twice when the search has gone on.
    assert child.info.status == status
    assert child.info.end_time - child.info.start_time == 1500
    assert runs.CONTENT_KEY not in parent.data.tags


LIVE_SEARCH = """
import time
def metrics(run):
    return run.store.client.get_run(run.run_id).data.metrics
with live.search_run(workspace, params, "grid_1") as run:
    run.log_configuration("256-32", 1.5)
    while metrics(run)["configurations_done"] < 1:
        time.sleep(0.01)
    print("searching", flush=True)
    time.sleep(60)
"""


def test_sync_closes_the_search_of_a_process_that_was_shot(whole: Any) -> None:
    with whole.process(LIVE_SEARCH) as process:
        assert process.stdout.readline() == "searching\n"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert whole.view.run("digits", NAME).info.status == "RUNNING"
    publish.synchronize(whole.workspace, whole.params)
    (child,) = children(whole, whole.view.run("digits", NAME)).values()
    assert {run.info.status for run in whole.view.runs("digits")} == {"KILLED"}
    assert child.info.end_time - child.info.start_time == 1500


def test_a_search_that_was_shot_and_goes_on_shows_each_configuration_finished_once(whole: Any) -> None:
    with whole.process(LIVE_SEARCH) as process:
        assert process.stdout.readline() == "searching\n"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    search_live(whole, num_done=1)
    finished = [run.info.run_name for run in whole.view.runs("digits") if run.info.status == "FINISHED"]
    assert sorted(finished) == sorted([NAME, *UNITS])


def refuse(*arguments: object, **options: object) -> None:
    raise MlflowException("the server is gone")


def test_a_store_that_dies_meanwhile_is_one_warning_and_is_caught_up_with(
    whole: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with live.search_run(whole.workspace, whole.params, "grid_1") as run:
        run.log_configuration("256-32", 1.5)
        wait_until(lambda: len(whole.view.curve(whole.view.run("digits", NAME), "configurations_done")) == 2)
        with monkeypatch.context() as away:
            # The run of the second configuration is made, and stays half-written.
            away.setattr(run.store.client, "log_batch", refuse)
            run.log_configuration("256-64", 1.5)
            wait_until(lambda: run.broken)
            run.log_configuration("256-128", 1.5)
        whole.search()
    message = capsys.readouterr().err
    assert message.count("the server is gone") == 1
    assert "Everything trained is kept" in message
    parent = whole.view.run("digits", NAME)
    found = children(whole, parent)
    assert set(found) == set(UNITS)
    assert {run.info.status for run in (parent, *found.values())} == {"FINISHED"}


def test_a_half_written_configuration_is_closed_with_its_search(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        with live.search_run(whole.workspace, whole.params, "grid_1") as run:
            monkeypatch.setattr(run.store.client, "log_batch", refuse)
            run.log_configuration("256-32", 1.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert {run.info.status for run in whole.view.runs("digits")} == {"KILLED"}
    assert len(whole.view.runs("digits")) == 2


def test_a_store_that_was_away_at_the_start_gets_the_search_at_the_end(
    whole: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = live.search_run(whole.workspace, whole.params, "grid_1")
    with monkeypatch.context() as away:
        away.setattr(live, "connect", refuse)
        run = search.__enter__()
    run.log_configuration("256-32", 1.5)
    whole.search()
    search.__exit__(None, None, None)
    assert capsys.readouterr().err.count("WARNING") == 1
    assert len(children(whole, whole.view.run("digits", NAME))) == len(UNITS)


def test_a_search_nests_below_the_run_of_mlflow_run(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = whole.view.client
    project = client.create_run(client.create_experiment("project"), run_name="main")
    monkeypatch.setenv("MLFLOW_RUN_ID", project.info.run_id)
    prepare_environment()
    search_live(whole)
    parent = whole.view.run("digits", NAME)
    assert parent.data.tags["mlflow.parentRunId"] == project.info.run_id
    assert set(children(whole, parent)) == set(UNITS)


def test_a_configuration_costs_few_requests(whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are over a hundred of them: reading each, or writing it in many parts, would take minutes."""
    whole.search()
    calls: Counter[str] = Counter()

    def count(method: str) -> None:
        original = getattr(MlflowClient, method)

        def counted(*arguments: Any, **options: Any) -> Any:
            calls[method] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(MlflowClient, method, counted)

    for method in ("create_run", "log_batch", "set_terminated", "get_run", "search_runs", "set_tag"):
        count(method)
    publish.synchronize(whole.workspace, whole.params)
    of_parent = 4
    assert sum(calls[method] for method in ("create_run", "log_batch", "set_terminated")) <= 3 * len(UNITS) + of_parent
    assert calls["get_run"] <= of_parent
    calls.clear()
    assert publish.synchronize(whole.workspace, whole.params).num_changes == 0
    assert {method for method, number in calls.items() if number} <= {"get_run", "search_runs"}
    assert calls["get_run"] <= of_parent
