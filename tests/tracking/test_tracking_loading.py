"""Registered versions, found and loaded; and `python -m pipeline predict` on a real store."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline.data import embedded
from pipeline.errors import PipelineError
from pipeline.inference import predictions
from pipeline.tracking import loading, publish
from pipeline.tracking.store import find_location
from tests.tracking import command_line

MODEL = "mnist-classifier"
REPOSITORY = Path(__file__).parents[2]


def register(stages: Any, variant: str) -> None:
    stages.select(variant)
    publish.publish(stages.workspace, stages.params, "register", MODEL)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, make_stages_in: Any) -> Any:
    """Two versions: the first is the champion, the second the challenger."""
    stages = make_stages_in(tmp_path_factory.mktemp("loading"))
    stages.prepare()
    stages.train("small")
    stages.train("large", seed=1.0)
    for variant in ("small", "large"):
        register(stages, variant)
    # The parameters in the workspace name the datasets that take pictures.
    yaml, path = YAML(typ="safe"), stages.workspace.root / "params" / "data.yaml"
    yaml.dump({**yaml.load(path), "pictures": {"mnist": "digits"}}, path)
    return stages


def predict(stages: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "predict", *arguments],
        cwd=stages.workspace.root,
        env={**environment, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_without_a_number_it_is_the_champion(registered: Any) -> None:
    version = loading.registered_version(registered.workspace, registered.params, MODEL)
    assert str(version) == "mnist-classifier version 1 (champion): small"


def test_an_existing_database_is_read_without_writing_a_lock_beside_it(registered: Any) -> None:
    """So that a project can be read which may not be written."""
    lock = find_location(registered.workspace).lock
    lock.unlink(missing_ok=True)
    loading.registered_version(registered.workspace, registered.params, MODEL)
    assert not lock.exists()


def test_a_number_names_any_version(registered: Any) -> None:
    version = loading.registered_version(registered.workspace, registered.params, MODEL, 2)
    assert str(version) == "mnist-classifier version 2: large"


def test_a_version_that_is_not_there_is_told(registered: Any) -> None:
    with pytest.raises(PipelineError, match=r"expected a version 3 in MLflow at sqlite:///.*--version N"):
        loading.registered_version(registered.workspace, registered.params, MODEL, 3)


def test_a_task_without_a_champion_is_told(stages: Any) -> None:
    with pytest.raises(
        PipelineError, match=r"expected a champion in MLflow .*Run `dvc repro register@mnist-classifier`"
    ):
        loading.registered_version(stages.workspace, stages.params, MODEL)


def test_a_champion_that_was_taken_back_is_told(stages: Any) -> None:
    stages.prepare()
    stages.train("small")
    register(stages, "small")
    stages.view.client.delete_registered_model_alias(MODEL, "champion")
    with pytest.raises(PipelineError, match="expected a champion"):
        loading.registered_version(stages.workspace, stages.params, MODEL)


def test_a_missing_database_is_told_and_not_made(stages: Any) -> None:
    database = stages.workspace.root / "mlflow.db"
    database.unlink()
    with pytest.raises(PipelineError, match=r"mlflow\.db: expected MLflow's database, but there is none"):
        loading.registered_version(stages.workspace, stages.params, MODEL)
    assert not database.exists()


def test_a_demonstration_model_has_a_name_of_its_own(make_stages: Any) -> None:
    stages = make_stages(embedded=True)
    with pytest.raises(PipelineError, match="demo-mnist-classifier: expected a champion"):
        loading.registered_version(stages.workspace, stages.params, MODEL)


def test_arrays_and_pictures_are_predicted_and_written(registered: Any) -> None:
    folder = registered.workspace.root / "pictures"
    folder.mkdir()
    images = embedded.digits(20, 20, 1)[0]
    np.save(folder / "a.npy", images[:2])
    Image.fromarray(255 - images[0]).resize((84, 84)).save(folder / "b.png")
    result = predict(registered, MODEL, "pictures", "--output", "all.json")
    assert (result.returncode, result.stderr) == (0, "")
    assert "mnist-classifier version 1 (champion): small" in result.stdout
    assert "pictures/b.png" in result.stdout
    assert "All are in all.json." in result.stdout
    rows = json.loads((registered.workspace.root / "all.json").read_text())["predictions"]
    assert [(row["file"], row["index"]) for row in rows] == [
        ("pictures/a.npy", 0),
        ("pictures/a.npy", 1),
        ("pictures/b.png", 0),
    ]
    for row in rows:
        assert row["class"] in ("zero", "one", "two")
        assert row["probability"] == max(row[f"probability_{name}"] for name in ("zero", "one", "two"))
    shutil.rmtree(folder)


def test_a_bad_file_among_good_ones_ends_in_one_message_and_no_output(registered: Any) -> None:
    root = registered.workspace.root
    np.save(root / "good.npy", np.zeros((28, 28), np.uint8))
    np.save(root / "bad.npy", np.zeros((3, 784), np.uint8))
    result = command_line.call(root, "predict", MODEL, "good.npy", "bad.npy", "--output", "some.csv")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: bad.npy: expected shape (28, 28) or (n, 28, 28), values from 0 to 255")
    assert "Traceback" not in result.stderr
    assert not (root / "some.csv").exists()


def test_predictions_of_some_files_only_have_an_exit_status_of_their_own(
    registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.runtime.backend.configure", lambda *_, **__: None)
    model = SimpleNamespace(predict=lambda images: np.full((len(images), 3), 1 / 3, np.float32))
    monkeypatch.setattr(loading, "open_version", lambda *_: contextlib.nullcontext(model))
    root = registered.workspace.root
    np.save(root / "good.npy", np.zeros((28, 28), np.uint8))
    np.save(root / "bad.npy", np.zeros((3, 784), np.uint8))
    arguments = ("predict", MODEL, "good.npy", "bad.npy", "--skip-unusable", "--output")
    result = command_line.call(root, *arguments, "some.csv")
    assert result.returncode == 4
    assert "Skipped: bad.npy: expected shape" in result.stdout
    assert (root / "some.csv").read_text().splitlines()[-1].startswith("bad.npy,,")
    result = command_line.call(root, "predict", MODEL, "good.npy", "--skip-unusable")
    assert result.returncode == 0


def test_a_model_whose_files_are_gone_ends_in_one_message(
    registered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is not there cannot be loaded: Keras is not needed.
    monkeypatch.setattr("pipeline.runtime.backend.configure", lambda *_, **__: None)
    root = registered.workspace.root
    np.save(root / "one.npy", np.zeros((28, 28), np.uint8))
    (root / "mlartifacts").rename(tmp_path / "kept")
    try:
        result = command_line.call(root, "predict", MODEL, "one.npy")
    finally:
        (tmp_path / "kept").rename(root / "mlartifacts")
    assert (result.returncode, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    assert "python -m pipeline sync" in result.stderr


def test_a_model_that_was_cut_off_is_told_and_sync_logs_it_again(registered: Any) -> None:
    root = registered.workspace.root
    np.save(root / "one.npy", np.zeros((28, 28), np.uint8))
    version = registered.view.client.get_model_version(MODEL, "1")
    (logged,) = (Path(path) for path in root.rglob("small.keras") if version.source.rpartition("/")[2] in str(path))
    content = logged.read_bytes()
    logged.write_bytes(content[:-100])
    result = predict(registered, MODEL, "one.npy")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: mnist-classifier version 1 (champion): small: it cannot be loaded: ")
    assert "Traceback" not in result.stderr
    assert "digits: small" in publish.synchronize(registered.workspace, registered.params).repaired
    assert logged.read_bytes() == content
    assert predict(registered, MODEL, "one.npy").returncode == 0


def test_inputs_that_a_model_refuses_end_in_a_message(registered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(inputs: Any) -> None:
        raise ValueError("expected (n, 1000)")

    served = loading.OpenModel(Path("small.keras"), "", SimpleNamespace(predict=refuse))
    monkeypatch.setattr(loading, "open_version", lambda *_: contextlib.nullcontext(served))
    monkeypatch.setattr("pipeline.runtime.backend.configure", lambda *_, **__: None)
    root = registered.workspace.root
    np.save(root / "one.npy", np.zeros((28, 28), np.uint8))
    with pytest.raises(PipelineError, match=r"(?s)small: it fails on these inputs: ValueError: expected .*--version N"):
        predictions.predict(registered.workspace, registered.params, MODEL, [root / "one.npy"])
