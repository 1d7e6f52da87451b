"""What runs beside the training: MLflow, DVC, imports; and how the cost of doing nothing grows with the variants."""

from __future__ import annotations

import contextlib
import copy
import os
import pstats
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.workers import ROOT
from pipeline import demo, entry, preloaded

VARIANT = {
    "study": "study",
    "dataset": "digits",
    "family": "mlp",
    "layers": [{"units": 64, "dropout": 0.2}, {"units": 64, "dropout": 0.2}],
    "optimizer": {"name": "rmsprop", "learning_rate": 0.001},
    "batch_size": 128,
    "epochs": 30,
}
# Of a training stage in dvc.yaml: as many dependencies, outputs and parameters, commands that do nothing.
NUM_DEPENDENCIES = 16
STAGES = {
    "train": {
        "foreach": "${variants}",
        "do": {
            "cmd": "true",
            "params": [{"params/compute.yaml": ["compute"]}, "variants.${key}"],
            "deps": [f"code/{number}.py" for number in range(NUM_DEPENDENCIES)],
            "outs": ["models/${key}.keras"],
            "metrics": [{"results/${key}/metrics.json": {"cache": False}}],
            "plots": [
                {"results/${key}/history.csv": {"cache": False}},
                {"results/${key}/curves.png": {"cache": False}},
            ],
        },
    }
}


# What of DVC does what; hardly anything of it happens within another.
FUNCTIONS = {
    "reading parameters, once per stage": ("dvc/dependency/param.py", "read_param_file"),
    "locking what a stage reads and writes": ("dvc/rwlock.py", "rwlock"),
    "reading dvc.yaml and dvc.lock": ("dvc/repo/stage.py", "load_all"),
    "hashes of dependencies and outputs": ("dvc/output.py", "get_hash"),
    "importing DVC": ("<frozen importlib._bootstrap>", "_find_and_load"),
}


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
    return entry.environment_of_stages(environment)


def train_stage(folder: str, name: str, tracked: bool, threads: int) -> dict[str, Any]:
    """Train a variant as its stage does, with MLflow or without; the seconds, imports left out, and the training's."""
    from pipeline import tracking, training
    from pipeline.params import load_params
    from pipeline.paths import Workspace
    from pipeline.stages import train

    os.chdir(folder)
    if not tracked:
        tracking.training_run = _no_run  # type: ignore[assignment]
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


class _Unheard:
    def log_epoch(self, epoch: int, values: Any) -> None:
        """Do nothing."""


@contextlib.contextmanager
def _no_run(*arguments: Any) -> Iterator[_Unheard]:
    yield _Unheard()


def nothing_to_do(folder: Path, num_stages: int, repetitions: int) -> list[float]:
    """Seconds of `dvc repro` when so many training stages are up to date."""
    make_training_stages(folder, num_stages)
    return [idle(folder) for _ in range(repetitions)]


def idle(folder: Path, *options: str) -> float:
    """Seconds of a `dvc repro` that runs nothing. Raises RuntimeError when there is something to run."""
    taken, said = dvc(folder, "repro", *options)
    if "Running stage" in said:
        raise RuntimeError(f"{folder}: expected every stage up to date, DVC says {said[-300:]}")
    return taken


def num_stages(folder: Path) -> int:
    """How many stages dvc.lock knows."""
    return len(YAML(typ="safe").load(folder / "dvc.lock")["stages"])


def shares_of_nothing(folder: Path) -> dict[str, float]:
    """Where a `dvc repro` that runs nothing spends its time: the share of each of FUNCTIONS under a profiler."""
    path = folder / "repro.prof"
    call(folder, "-m", "cProfile", "-o", str(path), "-m", "dvc", "repro")
    stats = pstats.Stats(str(path))
    seconds = {
        name: sum(
            cumulative
            for (file, _, called), (_, _, _, cumulative, _) in stats.stats.items()  # type: ignore[attr-defined]
            if called == function and file.endswith(module)
        )
        for name, (module, function) in FUNCTIONS.items()
    }
    return {name: value / stats.total_tt for name, value in seconds.items()}  # type: ignore[attr-defined]


def make_training_stages(folder: Path, num_stages: int) -> None:
    """A project of so many training stages, all up to date."""
    # To commit 800 stages would take DVC half an hour: one is, and the others are written down alike.
    _write_project(folder, 1)
    dvc(folder, "commit", "--force")
    lock = (folder / "dvc.lock").read_text()
    _write_project(folder, num_stages)
    head, committed = lock.split("stages:\n")
    entries = (committed.replace(_name(0), _name(number)) for number in range(num_stages))
    (folder / "dvc.lock").write_text(f"{head}stages:\n{''.join(entries)}")


def _name(number: int) -> str:
    return f"variant_{number}"


def _write_project(folder: Path, num_stages: int) -> None:
    configure(folder)
    (folder / "params").mkdir(exist_ok=True)
    names = [_name(number) for number in range(num_stages)]
    yaml = YAML(typ="safe")
    yaml.dump({"stages": STAGES}, folder / "dvc.yaml")
    # Copies, or YAML would name them all by one anchor.
    variants = {name: copy.deepcopy(VARIANT) for name in names}
    yaml.dump({"variants": variants}, folder / "params.yaml")
    yaml.dump({"compute": {"seed": 1}}, folder / "params" / "compute.yaml")
    files = [f"code/{number}.py" for number in range(NUM_DEPENDENCIES)]
    for name in names:
        files += [f"models/{name}.keras"]
        files += [f"results/{name}/{file}" for file in ("metrics.json", "history.csv", "curves.png")]
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        # Alike for all stages, because their hashes are.
        path.write_text(path.name if path.parent.name != "models" else "model")


def stage_cost(folder: Path, stage: str, item: str, repetitions: int) -> dict[str, list[float]]:
    """Seconds of a stage: of its imports, alone, run by `dvc repro`, and by that forked as `make repro` does it."""
    by_dvc = ("-m", "dvc", "repro", "--force", "--single-item", f"{stage}@{item}")
    dvc(folder, "repro", f"{stage}@{item}")
    commands = {
        "imports": ("-c", f"import pipeline.stages.{stage}"),
        "alone": ("-m", "pipeline.stages", stage, item),
        "by DVC": by_dvc,
    }
    seconds = {name: [call(folder, *command)[0] for _ in range(repetitions)] for name, command in commands.items()}
    with preloaded.server(_environment()) as environment:
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
