from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pipeline.config.params import Params
from pipeline.data import preprocessing
from pipeline.data.examples import read_rows
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.stages import generate

SPLITS = ("train", "validation", "test", "extended")
OUTPUTS = {
    *(f"data/prepared/hums/{split}.npz" for split in SPLITS),
    *(f"results/data/hums/{name}" for name in ("statistics.json", "examples.png", "example.png")),
}


def files(workspace: Workspace) -> dict[str, bytes]:
    found = (path for path in workspace.root.rglob("*") if path.is_file())
    return {str(path.relative_to(workspace.root)): path.read_bytes() for path in found}


def params_with(**changes: Any) -> Params:
    signal = {
        "title": "Hums",
        "num_points": 60,
        "length_in_pi": 10,
        "train_size": 40,
        "validation_size": 12,
        "test_size": 11,
        "seed": 7,
        "example": [0.024, 0.533, 0.018, 0.558],
        "extended": [[0, 0, 0, 0], [2, 1, 0, 0]],
        **changes,
    }
    content = {"compute": {"seed": 0, "threads": 1}, "sources": {}, "datasets": {}, "studies": {}, "tasks": {}}
    return Params.model_validate({**content, "variants": {}, "signals": {"hums": signal}})


def test_writes_rows_statistics_and_pictures(workspace: Workspace) -> None:
    generate.main(workspace, params_with(), "hums")
    assert set(files(workspace)) == OUTPUTS
    signal = params_with().signals["hums"]
    sizes = {split: len(read_rows(workspace.prepared("hums", split), signal)) for split in SPLITS}
    assert sizes == {"train": 40, "validation": 12, "test": 11, "extended": 2}
    for name in ("examples.png", "example.png"):
        with Image.open(workspace.dataset_results("hums") / name) as picture:
            assert picture.format == "PNG"


def test_statistics(workspace: Workspace) -> None:
    generate.main(workspace, params_with(), "hums")
    signal = params_with().signals["hums"]
    splits = {split: read_rows(workspace.prepared("hums", split), signal) for split in SPLITS}
    statistics = storage.read_json(workspace.dataset_results("hums") / "statistics.json")
    told = statistics.pop("train_parameters")
    assert list(told) == ["a", "b", "c", "d"]
    parameters = splits["train"].targets.astype(np.float64)
    assert [row["mean"] for row in told.values()] == pytest.approx(parameters.mean(axis=0))
    assert [row["std"] for row in told.values()] == pytest.approx(parameters.std(axis=0))
    assert statistics == {
        "title": "Hums",
        "num_points": 60,
        "length_in_pi": 10,
        "num_examples": {"train": 40, "validation": 12, "test": 11, "extended": 2},
        "sha256": {split: preprocessing.digest(rows.inputs, rows.targets) for split, rows in splits.items()},
        "example": {"a": 0.024, "b": 0.533, "c": 0.018, "d": 0.558},
    }


def test_the_pictures_show_training_rows_and_the_example_with_its_formula(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def example(x: np.ndarray, points: np.ndarray, **others: Any) -> Figure:
        drawn.update(x=x, points=points, **others)
        return Figure()

    def examples(x: np.ndarray, curves: np.ndarray, parameters: np.ndarray) -> Figure:
        drawn.update(curves=curves, parameters=parameters)
        return Figure()

    monkeypatch.setattr("pipeline.studies.waves.plots.example", example)
    monkeypatch.setattr("pipeline.studies.waves.plots.examples", examples)
    generate.main(workspace, params_with(), "hums")
    rows = read_rows(workspace.prepared("hums", "train"), params_with().signals["hums"])
    np.testing.assert_array_equal(drawn["curves"], rows.inputs[:5])
    np.testing.assert_array_equal(drawn["parameters"], rows.targets[:5])

    def formula(x: np.ndarray) -> np.ndarray:
        return 0.024 * np.sin(0.533 * x) + 0.018 * np.cos(0.558 * x)

    assert drawn["wave"] == (0.024, 0.533, 0.018, 0.558)
    assert drawn["points"].dtype == np.float32
    np.testing.assert_allclose(drawn["points"], formula(drawn["x"]), atol=1e-7)
    np.testing.assert_allclose(drawn["formula_curve"], formula(drawn["fine_x"]), atol=1e-12)
    assert len(drawn["fine_x"]) > len(drawn["x"])


def test_the_same_bytes_twice(workspace: Workspace) -> None:
    generate.main(workspace, params_with(), "hums")
    first = files(workspace)
    for name in OUTPUTS:
        (workspace.root / name).unlink()
    generate.main(workspace, params_with(), "hums")
    assert files(workspace) == first


def test_an_unknown_signal_is_named(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match="unknown signal 'hum'; expected one of: hums"):
        generate.main(workspace, params_with(), "hum")
