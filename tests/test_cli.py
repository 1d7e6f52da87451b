"""`python -m pipeline`, as a user calls it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.repro import demo
from tests import params_files

COMMANDS = [command.callback.__name__ for command in cli.app.registered_commands if command.callback]
Result = subprocess.CompletedProcess[str]
Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, repository: Path) -> Call:
    """Runs Python in a folder of its own, with the given arguments and variables."""

    def run(*arguments: str, **variables: str) -> Result:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            # A terminal of known width, so that no line of an answer is wrapped.
            env={**os.environ, "PYTHONPATH": str(repository), "COLUMNS": "300", "NO_COLOR": "1", **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def assert_one_message(result: Result, message: str) -> None:
    """A user's mistake: exit status 1, nothing on stdout, and one message without a traceback."""
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {message}\n"


def test_help_lists_every_command_with_what_it_does(call: Call) -> None:
    result = call("-m", "pipeline", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert {"demo", "sync", "docs", "predict"} <= set(COMMANDS)
    for command in cli.app.registered_commands:
        assert command.callback
        name = command.callback.__name__.replace("_", "-")
        assert re.search(rf"\b{name} +{re.escape(str(command.callback.__doc__)[:40])}", result.stdout)


def test_without_a_command_there_is_help(call: Call) -> None:
    result = call("-m", "pipeline")
    assert result.stdout.strip() == call("-m", "pipeline", "--help").stdout.strip() != ""


def test_an_unknown_command_is_named(call: Call) -> None:
    result = call("-m", "pipeline", "retrain")
    assert result.returncode == 2
    assert "No such command 'retrain'." in result.stderr
    assert "Traceback" not in result.stderr


def test_importing_the_command_line_is_quick(call: Call) -> None:
    """Nothing heavy: help and mistakes are answered at once."""
    result = call("-c", "import sys, pipeline.cli; print(*{name.partition('.')[0] for name in sys.modules})")
    heavy = {"dvc", "jax", "keras", "matplotlib", "mlflow", "numpy", "pandas", "pydantic", "sklearn", "tensorflow"}
    assert "typer" in result.stdout.split()
    assert heavy & set(result.stdout.split()) == set()


def test_the_demo_away_from_the_project(call: Call, tmp_path: Path) -> None:
    assert_one_message(
        call("-m", "pipeline", "demo"),
        f"{tmp_path}: expected the project's root, but dvc.yaml, reported_results.yaml, pipeline, "
        "benchmarks/block_costs.csv, benchmarks/updates.csv, docs/findings.md.jinja, demo/params.yaml, "
        "demo/params/compute.yaml, demo/params/data.yaml, "
        "demo/params/derived.yaml, demo/params/searches.yaml, demo/params/studies.yaml is missing there.",
    )
    assert list(tmp_path.iterdir()) == []


def test_the_demo_tells_a_typing_error_in_the_file_where_it_is(call: Call, tmp_path: Path, repository: Path) -> None:
    for name in demo.SHARED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(repository / name)
    params_files.copy(repository / demo.PARAMS, tmp_path / demo.PARAMS)
    path = tmp_path / demo.PARAMS / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 75", "epochs: -75", 1))
    assert_one_message(
        call("-m", "pipeline", "demo"), f"{path}: regressors.sine_64x16.epochs: expected greater than 0, got -75."
    )
    assert not (tmp_path / demo.FOLDER).exists()


@pytest.mark.parametrize("command", ["sync", "docs"])
def test_a_command_away_from_a_workspace(call: Call, tmp_path: Path, command: str) -> None:
    assert_one_message(
        call("-m", "pipeline", command),
        f"{tmp_path / 'params.yaml'}: not found. Run the command in the folder that holds params.yaml.",
    )


@pytest.mark.parametrize("command", ["sync", "docs"])
def test_a_command_with_a_mistake_in_params(call: Call, tmp_path: Path, repository: Path, command: str) -> None:
    params_files.copy(repository / "demo", tmp_path)
    path = tmp_path / "params" / "searches.yaml"
    path.write_text(path.read_text().replace("name: adam,", "name: adamant,", 1))
    assert_one_message(
        call("-m", "pipeline", command),
        f"{path}: searches.digits_grid_2_dropout.optimizer.name: expected 'adam', 'rmsprop' or 'sgd', got 'adamant'.",
    )


def test_repro_tells_a_typing_error_before_anything_runs(call: Call, tmp_path: Path, repository: Path) -> None:
    params_files.copy(repository, tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 30", "epochs: -3", 1))
    assert_one_message(
        call("-m", "pipeline", "repro"),
        f"{path}: variants.digits_64x64.epochs: expected greater than 0, got -3.",
    )


def test_repro_where_there_is_no_pipeline(call: Call, tmp_path: Path, repository: Path) -> None:
    params_files.copy(repository, tmp_path)
    result = call("-m", "pipeline", "repro")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {tmp_path}: DVC cannot tell which stages are up to date: ")
    assert "Traceback" not in result.stderr


def test_an_incremental_sync_with_a_server_that_does_not_answer_is_a_warning(
    call: Call, tmp_path: Path, repository: Path
) -> None:
    params_files.copy(repository, tmp_path)
    result = call("-m", "pipeline", "sync", "--incremental", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert result.returncode == 0
    assert result.stderr.startswith("warning: MLflow is not complete: http://127.0.0.1:9: ")
    assert "python -m pipeline sync" in result.stderr


def test_sync_with_a_server_that_does_not_answer(call: Call, tmp_path: Path, repository: Path) -> None:
    params_files.copy(repository / "demo", tmp_path)
    # Port 9 of this machine: nobody listens there.
    result = call("-m", "pipeline", "sync", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: http://127.0.0.1:9: MLflow could not be reached")
    assert "Traceback" not in result.stderr


def test_the_report_before_there_are_results(call: Call, tmp_path: Path, repository: Path) -> None:
    params_files.copy(repository, tmp_path)
    shutil.copy(repository / "reported_results.yaml", tmp_path)
    table = tmp_path / "results" / "variants.csv"
    assert_one_message(
        call("-m", "pipeline", "docs"),
        f"{table}: expected a CSV table, but the file is missing. Run `dvc repro` to make it.",
    )


def test_predict_away_from_a_workspace(call: Call, tmp_path: Path) -> None:
    assert_one_message(
        call("-m", "pipeline", "predict", "mnist-classifier", "digit.png"),
        f"{tmp_path / 'params.yaml'}: not found. Run the command in the folder that holds params.yaml.",
    )


def test_predict_before_anything_is_registered(call: Call, tmp_path: Path, repository: Path) -> None:
    params_files.copy(repository, tmp_path)
    assert_one_message(
        call("-m", "pipeline", "predict", "mnist-classifier", "digit.png"),
        f"{tmp_path / 'mlflow.db'}: expected MLflow's database, but there is none. Run `dvc repro "
        "register@mnist-classifier`, or `python -m pipeline sync` where the results are here already.",
    )
    assert not (tmp_path / "mlflow.db").exists()


def test_predict_with_a_task_or_an_output_that_is_none(call: Call, tmp_path: Path, repository: Path) -> None:
    params_files.copy(repository, tmp_path)
    assert_one_message(
        call("-m", "pipeline", "predict", "mnist", "digit.png"),
        "unknown task 'mnist'; expected one of: fashion-mnist-classifier, four-vs-nine-classifier, mnist-classifier, "
        "sine-wave-regressor.",
    )
    assert_one_message(
        call("-m", "pipeline", "predict", "mnist-classifier", "digit.png", "--output", "all.xml"),
        "--output all.xml: expected a file named *.csv or *.json, got 'all.xml'.",
    )


def test_predict_without_files(call: Call) -> None:
    result = call("-m", "pipeline", "predict", "mnist-classifier")
    assert result.returncode == 2
    assert "Missing argument" in result.stderr


def test_a_python_without_the_packages_is_told_what_to_do(repository: Path) -> None:
    # -S: without site-packages.
    command = [sys.executable, "-S", "-m", "pipeline"]
    finished = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert finished.stderr.startswith(f"error: {sys.executable} has no package typer. Run `make setup`")
    assert "Traceback" not in finished.stderr


def test_check_says_what_is_there_or_what_is_wrong(call: Call, repository: Path, tmp_path: Path) -> None:
    params_files.copy(repository, tmp_path)
    finished = call("-m", "pipeline", "check")
    assert finished.stdout.startswith("The parameters are valid: ")
