"""What a stage imports before it begins to work: nothing that takes seconds and that it may not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from pipeline.stages.__main__ import stages

BACKENDS = {"jax", "keras", "tensorflow"}
# What splits or folds needs scikit-learn for it.
SPLITTING = {"prepare", "generate", "search"}
# Rooms that import a backend within functions that only such stages call.
ROOMS_WITH_LATE_IMPORTS = {"pipeline.io.storage", "pipeline.evaluation.scoring"}
# What predicts or trains; all other stages read tables and draw.
COMPUTING = {
    "evaluate",
    "evaluate_repeats",
    "evaluate_signal",
    "features",
    "fetch_weights",
    "repeat",
    "search",
    "train",
}


def imported_by(code: str, repository: Path) -> set[str]:
    """The packages that are there after some code has run in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        cwd=repository,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in finished.stdout.split()}


def test_stages_import_no_backend_no_mlflow_and_no_library_of_statistics(repository: Path) -> None:
    names = sorted(set(stages()) - SPLITTING)
    assert len(names) > 10
    found = imported_by("import " + ", ".join(f"pipeline.stages.{name}" for name in names), repository)
    heavy = BACKENDS | {"mlflow", "scipy", "seaborn", "sklearn", "sqlalchemy"}
    assert "pandas" in found
    assert heavy & found == set()


def test_stages_that_split_import_no_backend_and_no_mlflow(repository: Path) -> None:
    names = sorted(set(stages()) & SPLITTING)
    found = imported_by("import " + ", ".join(f"pipeline.stages.{name}" for name in names), repository)
    assert "sklearn" in found
    assert (BACKENDS | {"mlflow", "sqlalchemy", "seaborn"}) & found == set()


def test_what_comes_of_stages_is_known_without_mlflow(repository: Path) -> None:
    """The runner reads the table before a stage, which may fail, and records are made of outputs alone."""
    found = imported_by("import pipeline.tracking.stage_table", repository)
    assert (BACKENDS | {"mlflow", "sqlalchemy"}) & found == set()


def test_publishing_imports_no_backend(repository: Path) -> None:
    """MLflow imports one only if it is asked to log a model of it."""
    code = "from pipeline.tracking import live, publish"
    found = imported_by(code, repository)
    assert "mlflow" in found
    assert (BACKENDS | {"torch"}) & found == set()


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Late imports included, those for types alone left out."""
    return grimp.build_graph(
        "pipeline", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


def backends_of(stage: str, graph: grimp.ImportGraph) -> set[str]:
    """The backends that code of a stage imports at any time, but for the functions that another test looks for."""
    reached: set[str] = set()
    waiting = {f"pipeline.stages.{stage}"}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        if module not in ROOMS_WITH_LATE_IMPORTS and not module.startswith("pipeline.tracking"):
            waiting |= graph.find_modules_directly_imported_by(module) - reached
    return reached & BACKENDS


@pytest.mark.parametrize("stage", sorted(set(stages()) - COMPUTING))
def test_stages_that_do_not_compute_never_import_a_backend(graph: grimp.ImportGraph, stage: str) -> None:
    assert backends_of(stage, graph) == set()


def test_only_stages_that_compute_load_and_ask_models(repository: Path) -> None:
    calls = ("storage.read_model(", "storage.write_model(", "scoring.predict_in_batches(")
    texts = {name: (repository / "pipeline" / "stages" / f"{name}.py").read_text() for name in stages()}
    calling = {name for name, text in texts.items() if any(call in text for call in calls)}
    assert calling == {
        "evaluate",
        "evaluate_repeats",
        "evaluate_signal",
        "repeat",
        "train",
    }


def test_the_graph_sees_the_backends_of_those_that_compute(graph: grimp.ImportGraph) -> None:
    assert backends_of("train", graph) == {"jax", "keras", "tensorflow"}
    assert "keras" in backends_of("features", graph)
