"""What MLflow shows of the study after one `dvc repro`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from pipeline.io import dvc_lock
from pipeline.io.paths import Workspace
from pipeline.repro import lineage
from tests.study.mlflow_view import aliases, curve, datasets_of, files_of, models_of
from tests.study.workspace import CONFIGURATIONS, EPOCHS, PREPARED, VARIANTS_OF_STUDY, WITHOUT_OUTPUTS, Built, Study


def test_runs_tell_the_outputs_of_their_stage_as_dvc_hashes_them(built: Built) -> None:
    told = [
        (run.data.tags.get("dvc_stage"), json.loads(run.data.tags.get("dvc_outputs", "{}")))
        for _, run in built.study.runs()
    ]
    lock = dvc_lock.read(built.study.root)
    for address, stage in lock.items():
        if address in {"report", *WITHOUT_OUTPUTS}:
            # MLflow does not show them.
            continue
        # The weights of a derived variant are described in its own runs.
        holder = address.replace("kernels@", "derive@")
        outputs = [found for where, found in told if where == holder and found]
        assert outputs, address
        assert all(stage.outputs.items() <= found.items() for found in outputs), address


def test_champion_leads_to_the_commit_that_makes_it_again(built: Built) -> None:
    traced = lineage.trace(Workspace(built.study.root), "models:/demo-digit-classifier@champion")
    assert isinstance(traced, lineage.Origin)
    head = built.study.git("rev-parse", "HEAD").strip()
    assert traced.commands[0] == f"git checkout {head} && dvc repro {traced.run.stage}"
    # What the stage was made of, and the arrays in it.
    assert str(PREPARED / "train.npz") in traced.inputs
    assert "digits-train" in traced.run.datasets
    onwards = lineage.trace(Workspace(built.study.root), traced.inputs[str(PREPARED / "train.npz")])
    assert isinstance(onwards, lineage.Descent)
    assert traced.run.run_id in {run.run_id for run in onwards.runs}
    assert [version.version for version in onwards.versions] == [1]


def test_mlflow_has_one_finished_run_per_stage_and_study(built: Built) -> None:
    names = sorted((experiment, run.info.run_name) for experiment, run in built.study.runs())
    variants = [(f"demo/{study}", variant) for study, variants in VARIANTS_OF_STUDY.items() for variant in variants]
    stages = [(f"demo/{study}", f"{stage}@{study}") for study in VARIANTS_OF_STUDY for stage in ("evaluate", "compare")]
    others = [
        ("demo/data", "fetch@digits"),
        ("demo/data", "prepare@digits"),
        ("demo/model-selection", "register@digit-classifier"),
        ("demo/summary", "summarize"),
        ("demo/summary", "tabulate"),
        ("demo/extras", "search: widths"),
        *(("demo/extras", units) for units in CONFIGURATIONS),
    ]
    assert names == sorted([*variants, *stages, *others])
    assert {run.info.status for _, run in built.study.runs()} == {"FINISHED"}


def test_run_of_a_variant_holds_all_that_is_known_of_it(built: Built) -> None:
    client = built.study.client()
    rows = {(row["study"], row["variant"]): row for row in built.study.table("results/variants.csv")}
    statistics = json.loads((built.study.root / "results/data/digits/statistics.json").read_text())
    variants = [(name, run) for name, run in built.study.runs() if "variant" in run.data.tags]
    assert len(variants) == len(rows)
    for experiment, run in variants:
        variant, tags = run.data.tags["variant"], run.data.tags
        row = rows[tags["study"], variant]
        assert (experiment, run.info.run_name) == (f"demo/{row['study']}", variant)
        assert (tags["dataset"], tags["data"]) == ("digits", "embedded")
        assert run.data.params["epochs"] == str(EPOCHS[variant])
        assert run.data.params["parameters.total"] == row["params"]
        for name in ("val_loss", "val_accuracy", "test_loss", "test_accuracy", "test_accuracy_low"):
            assert run.data.metrics[name] == float(row[name])
        assert [step for step, _ in curve(client, run, "val_accuracy")] == list(range(1, EPOCHS[variant] + 1))
        assert "curves.png" in files_of(client, run, "training")
        assert "confusion_matrix.png" in files_of(client, run, "evaluation")
        digests = {item.dataset.name: item.dataset.digest for item in datasets_of(run)}
        assert digests.keys() == {"digits-train", "digits-validation", "digits-test"}
        for name, digest in digests.items():
            # Of the 64 characters MLflow keeps 36.
            assert statistics["sha256"][name.removeprefix("digits-")].startswith(digest)
            assert len(digest) == 36
        (model,) = models_of(client, run)
        assert model.status.name == "READY"


def test_selected_variant_is_champion(built: Built) -> None:
    selection = json.loads((built.study.root / "results/select/digit-classifier.json").read_text())
    accuracies = {row["variant"]: float(row["val_accuracy"]) for row in built.study.table("results/variants.csv")}
    selected = selection["selected"]
    assert accuracies[selected] == max(accuracies.values())
    assert aliases(built.study) == {"demo-digit-classifier": {"champion": selected}}


PREDICT = """
import sys
import mlflow
import numpy as np
data, predictions = np.load(sys.argv[1]), np.load(sys.argv[2])
model = mlflow.pyfunc.load_model("models:/demo-digit-classifier@champion")
np.testing.assert_allclose(model.predict(data["images"]), predictions["probabilities"], atol=1e-5)
print(len(data["images"]), "alike")
"""


@pytest.fixture(scope="module")
def served(copy_study: Callable[[], Study]) -> str:
    """Load the champion as a client would, knowing nothing of this project."""
    study = copy_study()
    selection = json.loads((study.root / "results/select/digit-classifier.json").read_text())
    predictions = next(study.root.glob(f"predictions/*/{selection['selected']}.npz"))
    arguments = (str(study.root / PREPARED / "test.npz"), str(predictions))
    elsewhere = Study(study.root.parent, study.environment)
    uri = f"sqlite:///{study.root / 'mlflow.db'}"
    return elsewhere.run(sys.executable, "-c", PREDICT, *arguments, MLFLOW_TRACKING_URI=uri).stdout


def test_champion_predicts_from_raw_pixels_what_was_evaluated(served: str) -> None:
    assert served == "100 alike\n"
