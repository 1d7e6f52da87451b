"""What runs beside the training: MLflow, DVC, imports."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ruamel.yaml import YAML

from benchmarks.workers import ROOT
from pipeline.repro import demo
from pipeline.runtime import fork_server, process


def make_demo(folder: Path, changes: dict[str, dict[str, Any]]) -> None:
    """A workspace of the demo below a folder, with changed variants, its images fetched and prepared."""
    demo.fill(ROOT, folder)
    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path)
    for name, change in changes.items():
        params["variants"][name].update(change)
    yaml.dump(params, path)
    call(folder, "-m", "compileall", "-q", "pipeline")
    datasets = {params["variants"][name]["dataset"] for name in changes}
    dvc(folder, "repro", *(f"prepare@{dataset}" for dataset in sorted(datasets)))


def configure(folder: Path) -> None:
    """Make a folder one of DVC's, without Git."""
    (folder / ".dvc").mkdir(parents=True, exist_ok=True)
    (folder / ".dvc" / "config").write_text(demo.DVC_CONFIG)


def dvc(folder: Path, *arguments: str) -> tuple[float, str]:
    """Seconds of a DVC command in a folder, and what it said."""
    return call(folder, "-m", "dvc", *arguments)


def call(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Seconds of a call of Python in a folder, and what it said. Raises RuntimeError when it fails."""
    environment = environment or _environment()
    start = time.perf_counter()
    finished = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if finished.returncode:
        raise RuntimeError(f"{' '.join(arguments)} in {folder}: {finished.stdout[-1000:]}{finished.stderr[-1000:]}")
    return seconds, finished.stdout


def _environment() -> dict[str, str]:
    """Without what a user has set of DVC and MLflow."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    environment |= {"DVC_NO_ANALYTICS": "true", "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return process.environment_of_stages(environment)


def train_stage(folder: str, name: str, tracked: bool, threads: int) -> dict[str, Any]:
    """Train a variant as its stage does, with MLflow or without; the seconds, imports left out, and the training's."""
    from pipeline import training
    from pipeline.config.load import load_params
    from pipeline.io.paths import Workspace
    from pipeline.runtime.environment import prepare_environment
    from pipeline.stages import train

    os.chdir(folder)
    if tracked:
        prepare_environment()
    else:
        _leave_out_mlflow()
    workspace = Workspace(Path(folder))
    params = load_params(workspace.root)
    moments: list[float] = []
    plainly = training.train

    def timed(*arguments: Any, **options: Any) -> Any:
        moments.append(time.perf_counter())
        history = plainly(*arguments, **options)
        moments.append(time.perf_counter())
        return history

    training.train = timed
    start = time.perf_counter()
    train.main(workspace, params, name)
    end = time.perf_counter()
    return {"seconds": end - start, "training": moments[1] - moments[0], "tracked": "mlflow" in sys.modules}


def stage_work(folder: str, stage: str, item: str, threads: int) -> dict[str, float]:
    """Seconds of a stage in a process that has imported all that the stage needs, without MLflow."""
    from pipeline.config.load import load_params
    from pipeline.io.paths import Workspace
    from pipeline.runtime import backend

    os.chdir(folder)
    workspace = Workspace(Path(folder))
    params = load_params(workspace.root)
    for name in fork_server.PACKAGES:
        importlib.import_module(name)
    if stage == "train":
        backend.configure(params.classifiers[item].engine, threads=params.compute.threads)
        _leave_out_mlflow()
    main = importlib.import_module(f"pipeline.stages.{stage}").main
    start = time.perf_counter()
    main(workspace, params, item)
    return {"seconds": time.perf_counter() - start}


def _leave_out_mlflow() -> None:
    """Let training stages find a module that records nothing where the one that imports MLflow would be."""
    sys.modules["pipeline.tracking.live"] = SimpleNamespace(training_run=_no_run)  # type: ignore[assignment]


class _Unheard:
    def log_epoch(self, epoch: int, values: Any) -> None:
        """Do nothing."""


@contextlib.contextmanager
def _no_run(*arguments: Any) -> Iterator[_Unheard]:
    yield _Unheard()


def stage_cost(folder: Path, stage: str, item: str, repetitions: int) -> dict[str, list[float]]:
    """Seconds of a stage: alone, run by `dvc repro`, and by that forked as `make repro` does it."""
    by_dvc = ("-m", "dvc", "repro", "--force", "--single-item", f"{stage}@{item}")
    dvc(folder, "repro", f"{stage}@{item}")
    commands = {
        "alone": ("-m", "pipeline.stages", stage, item),
        "by DVC": by_dvc,
    }
    seconds = {name: [call(folder, *command)[0] for _ in range(repetitions)] for name, command in commands.items()}
    with fork_server.started(_environment()) as environment:
        # The first one waits for the imports.
        call(folder, *by_dvc, environment=environment)
        forked = [call(folder, *by_dvc, environment=environment)[0] for _ in range(repetitions)]
    return {**seconds, "forked": forked}


def start_up(repetitions: int) -> dict[str, list[float]]:
    """Seconds of commands that do nothing."""
    return {
        "python -m pipeline --help": [call(ROOT, "-m", "pipeline", "--help")[0] for _ in range(repetitions)],
        "python -c pass": [call(ROOT, "-c", "pass")[0] for _ in range(repetitions)],
    }
