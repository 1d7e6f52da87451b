"""A tracking server as a team has one: `mlflow server` on PostgreSQL, with its artifact proxy.

The tests of the other modules that are imported here run against it a second time. Skipped where PostgreSQL is not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from pipeline.errors import PipelineError
from pipeline.tracking import live, publish
from tests.tracking.test_tracking_live import (  # noqa: F401
    test_a_run_that_ends_well_is_complete,
    test_a_store_that_comes_back_before_the_end_gets_the_whole_run,
    test_a_store_that_dies_meanwhile_is_one_warning,
    test_an_exception_closes_the_run,
    test_curves_are_there_while_it_trains,
    test_publishing_after_a_live_run_changes_nothing,
    test_sigterm_ends_the_run_as_killed,
    test_sync_closes_the_run_of_a_process_that_was_shot,
    test_the_same_outputs_again_leave_the_first_run,
    wait_until,
)
from tests.tracking.test_tracking_publish import (  # noqa: F401
    publish_all,
    test_a_new_evaluation_of_the_same_model_replaces_the_old_one,
    test_a_variant_becomes_one_run_with_all_that_is_known,
    test_publishing_again_changes_nothing,
    test_runs_nest_below_the_run_of_mlflow_run,
    test_training_anew_makes_a_new_run_and_keeps_the_old_one,
)
from tests.tracking.test_tracking_registry import (  # noqa: F401
    test_a_promotion_by_hand_is_kept,
    test_a_second_selection_is_challenger_and_the_champion_stays,
    test_selecting_the_same_again_makes_no_second_version,
)
from tests.tracking.test_tracking_search import (  # noqa: F401
    test_a_search_that_ends_well_is_complete_with_its_live_runs,
    test_configurations_appear_while_the_search_goes_on,
)
from tests.tracking.test_tracking_sync import (  # noqa: F401
    test_a_run_that_was_left_half_written_is_completed,
    test_an_experiment_that_was_deleted_is_restored,
    test_duplicates_are_removed,
    test_the_second_sync_has_nothing_to_do,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Seconds that a server has to answer: machines are shared, and MLflow imports a lot.
START_LIMIT = 240


def postgres_tool(name: str) -> str:
    """A program of PostgreSQL, which Debian keeps off the PATH; the test is skipped where there is none."""
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None)
    if found is None:
        pytest.skip(f"real tracking server: no {name} here; install PostgreSQL (on Debian: apt-get install postgresql)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(answers: Callable[[], bool], process: subprocess.Popen[Any], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not answer:\n{log.read_text()}")
        time.sleep(0.1)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URI of a PostgreSQL database of these tests' own."""
    initdb, postgres = postgres_tool("initdb"), postgres_tool("postgres")
    # PostgreSQL refuses to be run by root, and the tests' own folder is closed to anyone else.
    other: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="cluster-", ignore_cleanup_errors=True) as folder:
        if other:
            shutil.chown(folder, "postgres")
        data, log, port = Path(folder) / "data", Path(folder) / "log", free_port()
        command: list[str | Path] = [
            initdb,
            "-D",
            data,
            "-U",
            "mlflow",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        ]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, **other)
        settings = ("listen_addresses=127.0.0.1", "fsync=off", f"unix_socket_directories={folder}")
        options = [word for setting in settings for word in ("-c", setting)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [postgres, "-D", data, "-p", str(port), *options], cwd=folder, stdout=output, stderr=output, **other
            )
        address = f"mlflow@127.0.0.1:{port}/postgres"

        def answers() -> bool:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(f"postgresql://{address}"):
                return True
            return False

        try:
            wait_for(answers, process, log)
            yield f"postgresql+psycopg://{address}"
        finally:
            # Without waiting for clients.
            process.send_signal(signal.SIGINT)
            process.wait(60)


class Server:
    """`mlflow server` on a database, which keeps the artifacts and hands them on itself."""

    def __init__(self, database: str, folder: Path) -> None:
        self.uri = f"http://127.0.0.1:{free_port()}"
        self._log = folder / "log"
        port = self.uri.rpartition(":")[2]
        places = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
        self._command = [sys.executable, "-m", "mlflow", "server", *places, "--port", port, "--workers", "1"]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self._environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(self._answers, self._process, self._log)

    def kill(self) -> None:
        """All at once, its workers included, as when a machine loses its power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.uri}/health", timeout=5).ok
        return False


@pytest.fixture(scope="module")
def running(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(database, tmp_path_factory.mktemp("server"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(running: Server, database: str, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server with nothing on it, where this process and those that it starts record."""
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        connection.execute("TRUNCATE experiments, registered_models CASCADE")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    return running


@pytest.fixture
def stages(server: Server, make_stages: Callable[..., Any]) -> Any:
    """In place of the workspace with a database of its own, for the tests of the other modules."""
    return make_stages()


@pytest.fixture
def published(stages: Any) -> Any:
    """In place of a copied database: everything published to the server."""
    stages.everything()
    publish_all(stages)
    return stages


@pytest.fixture
def whole(server: Server, make_stages: Callable[..., Any]) -> Any:
    return make_stages(whole=True)


def test_everything_is_on_the_server_and_nothing_in_the_project(stages: Any, server: Server, database: str) -> None:
    before = (stages.workspace.root / "mlflow.db").read_bytes()
    stages.everything()
    report = publish.synchronize(stages.workspace, stages.params)
    assert (len(report.created), len(report.repaired)) == (10, 0)
    assert publish.synchronize(stages.workspace, stages.params).num_changes == 0
    run = stages.view.run("digits", "small")
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert stages.view.files(run, "training") == {"curves.png", "history.csv", "metrics.json"}
    assert (stages.workspace.root / "mlflow.db").read_bytes() == before
    assert not (stages.workspace.root / "mlartifacts").exists()
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE status = 'FINISHED'").fetchone() == (9,)


def test_a_registered_model_is_loaded_from_the_server(stages: Any, server: Server) -> None:
    stages.prepare()
    stages.train("small")
    stages.select("small")
    publish.publish(stages.workspace, stages.params, "register", "mnist-classifier")
    code = """
import mlflow, numpy
model = mlflow.pyfunc.load_model("models:/mnist-classifier@champion")
print(model.predict(numpy.zeros((2, 28, 28), numpy.uint8)).shape)
"""
    assert stages.process(code).communicate(timeout=200)[0].splitlines()[-1] == "(2, 3)"


# Several people


TRAIN = """
import time
with live.training_run(workspace, params, "small") as run:
    print("ready", flush=True)
    sys.stdin.readline()
    for epoch in (1, 2, 3):
        run.log_epoch(epoch, {"loss": SEED + epoch})
for name in ("small", "large"):
    publish.publish(workspace, params, "train", name)
publish.publish(workspace, params, "register", "mnist-classifier")
"""


def train_together(*workspaces: tuple[Any, float]) -> list[str]:
    """Let workspaces that differ in the seed of their trainings publish at the same time; what they print on stderr."""
    processes = []
    for stages, seed in workspaces:
        stages.prepare()
        stages.train("small", seed=seed)
        stages.train("large", seed=seed + 1)
        stages.select("small")
        processes.append(stages.process(TRAIN.replace("SEED", str(seed))))
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    with contextlib.ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            process.stdin.write("\n")
            process.stdin.flush()
        return [process.communicate(timeout=300)[1] for process in processes]


def test_two_workspaces_on_one_server_do_not_mix(server: Server, make_stages: Callable[..., Any]) -> None:
    mine, yours = make_stages("mine"), make_stages("yours")
    assert train_together((mine, 0.0), (yours, 10.0)) == ["", ""]
    view = mine.view
    runs = [run for run in view.runs("digits") if run.info.run_name == "small"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    curves = sorted(view.curve(run, "loss") for run in runs)
    assert curves == [[(1, 1.0), (2, 2.0), (3, 3.0)], [(1, 11.0), (2, 12.0), (3, 13.0)]]
    for run in runs:
        seed = view.curve(run, "loss")[0][1] - 1.0
        assert run.data.metrics["loss"] == pytest.approx(seed + 3.0)
        assert view.curve(run, "val_accuracy") == [(step, seed + step + 0.5) for step in (1, 2, 3)]
    versions = view.client.search_model_versions("name = 'mnist-classifier'")
    assert {version.run_id for version in versions} == {run.info.run_id for run in runs}
    # Either sync leaves the other's runs as they are.
    kept = {run.info.run_id for run in view.runs("digits")}
    for stages in (mine, yours):
        report = publish.synchronize(stages.workspace, stages.params)
        assert (report.removed, report.closed) == ([], [])
        assert kept <= {run.info.run_id for run in view.runs("digits")}


def test_two_workspaces_with_equal_results_share_their_runs(server: Server, make_stages: Callable[..., Any]) -> None:
    mine, yours = make_stages("mine"), make_stages("yours")
    assert train_together((mine, 0.0), (yours, 0.0)) == ["", ""]
    names = [run.info.run_name for experiment in ("digits", "activity") for run in mine.view.runs(experiment)]
    assert sorted(names) == ["large", "large", "small"]
    assert len(mine.view.client.search_model_versions("name = 'mnist-classifier'")) == 1


# A server in trouble


def test_a_server_that_dies_in_the_middle(
    database: str,
    server: Server,
    make_stages: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    mortal = Server(database, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mortal.uri)
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.01)
    stages = make_stages()
    try:
        mortal.start()
        with live.training_run(stages.workspace, stages.params, "small") as run:
            run.log_epoch(1, stages.epoch(1))
            wait_until(lambda: "loss" in stages.view.run("digits", "small").data.metrics)
            mortal.kill()
            for epoch in (2, 3):
                run.log_epoch(epoch, stages.epoch(epoch))
            stages.train("small")
        message = capfd.readouterr().err
        assert message.count("WARNING") == 1
        assert f"MLflow at {mortal.uri} could not be reached" in message
        assert "`python -m pipeline sync`" in message
        with pytest.raises(PipelineError, match="MLflow could not be reached or refused the request"):
            publish.synchronize(stages.workspace, stages.params)
        mortal.start()
        assert stages.view.run("digits", "small").info.status == "RUNNING"
        code = "print(publish.synchronize(workspace, params))"
        # In a process of its own, because that of the training must be gone for its run to be closed.
        assert stages.python(code).startswith("1 created, 0 repaired")
        by_status = {run.info.status: run for run in stages.view.runs("digits")}
        assert stages.view.curve(by_status["FINISHED"], "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    finally:
        mortal.kill()


class Slow(socketserver.ThreadingTCPServer):
    """Hands on what a server answers a while later."""

    daemon_threads = True

    def __init__(self, uri: str, delay: float) -> None:
        self.server_of = ("127.0.0.1", int(uri.rpartition(":")[2]))
        self.delay = delay
        super().__init__(("127.0.0.1", 0), SlowHandler)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class SlowHandler(socketserver.BaseRequestHandler):
    server: Slow

    def handle(self) -> None:
        with socket.create_connection(self.server.server_of) as upstream:
            threading.Thread(target=self.pump, args=(self.request, upstream, 0.0), daemon=True).start()
            self.pump(upstream, self.request, self.server.delay)

    @staticmethod
    def pump(source: socket.socket, target: socket.socket, delay: float) -> None:
        with contextlib.suppress(OSError):
            while received := source.recv(1 << 16):
                time.sleep(delay)
                target.sendall(received)
            target.shutdown(socket.SHUT_WR)


def test_a_slow_server_does_not_slow_the_training(
    server: Server, make_stages: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "FLUSH_SECONDS", 0.01)
    stages = make_stages(num_epochs=40)
    with Slow(server.uri, delay=0.5) as slow:
        threading.Thread(target=slow.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", slow.uri)
        with live.training_run(stages.workspace, stages.params, "small") as run:
            start = time.monotonic()
            for epoch in range(1, 41):
                run.log_epoch(epoch, stages.epoch(epoch))
            # One answer takes as long as all epochs may.
            assert time.monotonic() - start < 0.5
            stages.train("small")
        finished = stages.view.run("digits", "small")
        slow.shutdown()
    assert "WARNING:" not in capfd.readouterr().err
    assert finished.info.status == "FINISHED"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    assert [step for step, _ in stages.view.curve(finished, "loss")] == list(range(1, 41))
