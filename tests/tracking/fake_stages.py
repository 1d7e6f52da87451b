"""A small workspace as the stages leave it, without running them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient

from pipeline.config.params import Params
from pipeline.io.paths import Workspace
from tests.tracking.view import View

REPOSITORY = Path(__file__).parents[2]

PREAMBLE = """
import sys
from pathlib import Path
from pipeline.config.load import load_params
from pipeline.io.paths import Workspace
from pipeline.runtime.environment import prepare_environment
prepare_environment()
from pipeline.tracking import live, publish
workspace = Workspace(Path.cwd())
params = load_params(workspace.root)
"""

CURVES = ("loss", "cross_entropy", "accuracy", "val_loss", "val_cross_entropy", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class FakeStages:
    """Writes what the stages would write, with figures that are easy to tell apart."""

    workspace: Workspace
    params: Params
    keras_file: Path

    def fetch(self, source: str = "digit-files") -> None:
        folder = self.workspace.raw(source)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
            (folder / name).write_bytes(name.encode())

    def prepare(self, dataset: str = "mnist") -> None:
        for split in ("train", "validation", "test"):
            path = self.workspace.prepared(dataset, split)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(split.encode())
        results = self.workspace.dataset_results(dataset)
        results.mkdir(parents=True, exist_ok=True)
        splits = {"train": "1", "validation": "2", "test": "3"}
        statistics = {
            "title": "MNIST",
            "num_examples": {"train": 54, "validation": 6, "test": 10},
            "sha256": {split: digit * 64 for split, digit in splits.items()},
        }
        (results / "statistics.json").write_text(json.dumps(statistics))
        (results / "examples.png").write_bytes(b"picture")

    def train(self, name: str = "small", *, seed: float = 0.0) -> None:
        """`seed` changes the outputs as another training would."""
        variant = self.params.all_variants[name]
        model, results = self.workspace.model(name, variant), self.workspace.training_results(name, variant)
        model.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.keras_file, model)
        results.mkdir(parents=True, exist_ok=True)
        (results / "history.csv").write_text(history_csv(variant.epochs, seed))
        is_regressor = name in self.params.regressors
        metrics = regression_metrics(variant.epochs) if is_regressor else training_metrics(variant.epochs, seed)
        (results / "metrics.json").write_text(json.dumps(metrics))
        (results / "curves.png").write_bytes(b"curves")

    def evaluate(self, study: str = "digits", *, accuracy: float = 0.75) -> None:
        figures = {}
        for name, variant in self.params.variants_of(study).items():
            folder = self.workspace.evaluation_details(study, name)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "per_class.csv").write_text("class,precision,recall,f1,support\n0,1,1,1,10\n")
            (folder / "confusion_matrix.png").write_bytes(f"matrix {accuracy}".encode())
            digest = hashlib.sha256(self.workspace.model(name, variant).read_bytes()).hexdigest()
            figures[name] = {
                "loss": 0.5,
                "cross_entropy": 0.5,
                "accuracy": accuracy,
                "accuracy_low": 0.5958,
                "accuracy_high": 0.9821,
                "num_examples": 10,
                "num_correct": 9,
                "macro_f1": 0.7,
                "expected_calibration_error": 0.4,
                "overconfidence": -0.4,
                "model_sha256": digest,
            }
            predictions = self.workspace.predictions(study) / f"{name}.npz"
            predictions.parent.mkdir(parents=True, exist_ok=True)
            # One of ten is wrong: a 0 taken for a 2.
            labels = np.arange(10, dtype=np.uint8) % 3
            answers = np.where(np.arange(10) == 9, 2, labels)
            np.savez(
                predictions,
                probabilities=np.array([0.25, 0.5, 0.25], np.float32)[(1 + np.arange(3) - answers[:, None]) % 3],
                labels=labels,
            )
        (self.workspace.evaluation(study) / "metrics.json").write_text(json.dumps(figures))

    def compare(self, study: str = "digits") -> None:
        folder = self.workspace.comparison(study)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ranking.csv").write_text("variant,validation_rank,test_accuracy,verdict\nsmall,1,0.75,\nlarge,2,,\n")
        (folder / "differences.csv").write_text(
            "first,second,accuracy_difference,accuracy_holm_p_value,accuracy_verdict\n"
            "small,large,0.0125,0.25,no significant difference\n"
        )
        (folder / "test_accuracy.png").write_bytes(b"bars")

    def summarize(self) -> None:
        self.workspace.variants_table.parent.mkdir(parents=True, exist_ok=True)
        self.workspace.variants_table.write_text("variant,study\nsmall,digits\nlarge,digits\nlarge,activity\n")
        headline = self.workspace.headline("small")
        headline.parent.mkdir(parents=True, exist_ok=True)
        headline.write_text(json.dumps({"test_accuracy": 0.9}))

    def select(self, variant: str = "small", task: str = "mnist-classifier") -> None:
        candidates = [
            {"variant": name, "study": "digits", "parameters": 100, "val_accuracy": 0.9, "val_cross_entropy": 0.3}
            for name in ("small", "large")
        ]
        rule = {"task": task, "metric": "val_accuracy", "tolerance": 0.002, "prefer_fewer_parameters": True}
        path = self.workspace.selection(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**rule, "selected": variant, "reason": "It is small.", "candidates": candidates}))

    def generate(self, signal: str = "waves") -> None:
        splits = {"train": "5", "validation": "6", "test": "7", "extended": "8"}
        for split in splits:
            path = self.workspace.prepared(signal, split)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(split.encode())
        results = self.workspace.dataset_results(signal)
        results.mkdir(parents=True, exist_ok=True)
        statistics = {
            "num_examples": {"train": 40, "validation": 8, "test": 8, "extended": 2},
            "train_parameters": {"a": {"mean": 0.5, "std": 0.25}},
            "sha256": {split: digit * 64 for split, digit in splits.items()},
        }
        (results / "statistics.json").write_text(json.dumps(statistics))
        (results / "example.png").write_bytes(b"picture")

    def fetch_weights(self, name: str = "mobilenet") -> None:
        self.write(self.workspace.weights(name), "weights")

    def features(self, name: str = "mnist-32") -> None:
        for split, num_rows in (("train", 54), ("validation", 6)):
            path = self.workspace.features(name, split)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, features=np.zeros((num_rows, 7), np.float32), labels=np.zeros(num_rows, np.uint8))

    def search(self, name: str = "grid_1", *, seed: float = 0.0) -> None:
        configurations = self.params.searches[name].configurations
        rows = [
            ",".join(
                ["-".join(map(str, units)), str(1000 + row), *(f"{round(0.9 + seed + row / 100, 4)}" for _ in range(8))]
            )
            for row, units in enumerate(configurations)
        ]
        folds = [f"fold_{number}" for number in (1, 2, 3)]
        columns = [f"{fold}_accuracy" for fold in folds] + ["mean_accuracy", "std_accuracy"]
        columns += [f"{fold}_cross_entropy" for fold in folds[:2]] + ["mean_cross_entropy"]
        self.write(
            self.workspace.search_results(name) / "folds.csv",
            "\n".join([",".join(["units", "parameters", *columns]), *rows, ""]),
        )
        best = configurations[-1]
        layers = [{"units": units, "batch_norm": True, "dropout": 0.5} for units in best]
        outcome = {"search": name, "selected": "-".join(map(str, best)), "reason": "It is best.", "layers": layers}
        self.write(self.workspace.outcome(name), json.dumps(outcome))

    def sweep(self) -> None:
        accuracies = {"rate_10": 0.8, "rate_20": 0.9}
        outcome = {"sweep": "rates", "selected": "rate_20", "reason": "It is best.", "accuracies": accuracies}
        layers = [{"units": 64, "dropout": 0.2}]
        self.write(self.workspace.outcome("rates"), json.dumps({**outcome, "layers": layers}))

    def kernels(self, name: str = "grid_1") -> None:
        folder = self.workspace.kernels(name)
        self.write(folder / "statistics.csv", "layer,std\nhidden_1,0.1\n")
        self.write(folder / "violins.png", "violins")

    def evaluate_signal(self, signal: str = "waves") -> None:
        figures = {}
        for name, regressor in self.params.regressors.items():
            folder = self.workspace.evaluation_details(signal, name)
            self.write(folder / "predictions.csv", "true_a\n0\n")
            self.write(folder / "test_curves.png", "curves")
            scores = {
                "mean_absolute_error": 0.05,
                "parameters": {"a": 0.04, "b": 0.06, "c": 0.04, "d": 0.06},
                "sign_fixed_mean_absolute_error": 0.04,
                "sign_fixed": {"a": 0.04, "b": 0.04, "c": 0.04, "d": 0.04},
                "determined": {"a": 0.04, "b": 0.04, "c": 0.04, "d": 0.04},
                "curve_error": 0.1,
                "curve_error_first_period": 0.05,
                "curve_error_last_period": 0.15,
                "num_examples": 8,
            }
            figures[name] = {
                **scores,
                "extended": {**scores, "mean_absolute_error": 0.7},
                "mean_absolute_error_low": 0.125,
                "mean_absolute_error_high": 0.125,
                "train_mean_absolute_error": 0.02,
                "mean_absolute_error_gap": -0.03,
                "validation_mean_absolute_error": 0.04,
                "reported_mean_absolute_error": 0.03,
                "model_sha256": hashlib.sha256(self.workspace.model(name, regressor).read_bytes()).hexdigest(),
            }
            predictions = self.workspace.predictions(signal) / f"{name}.npz"
            predictions.parent.mkdir(parents=True, exist_ok=True)
            targets = np.full((8, 4), 0.5, np.float32)
            np.savez(predictions, predicted=targets + np.array([0.25, 0, 0, -0.25], np.float32), targets=targets)
        self.write(self.workspace.evaluation(signal) / "metrics.json", json.dumps(figures))
        self.write(self.workspace.evaluation(signal) / "answers.json", "{}")
        self.write(self.workspace.evaluation(signal) / "differences.csv", "first,second,verdict\n")

    def contrast(self, study: str = "digits") -> None:
        folder = self.workspace.contrast(study)
        self.write(folder / "gains.csv", "variant,kind,gain_points,band\nsmall,baseline,,\nlarge,L1,1.5,1 to 2\n")
        overfitting = {"verdict": "It visibly overfits.", "variants": {"small": {"gap_points": 4.5}}}
        self.write(folder / "overfitting.json", json.dumps(overfitting))
        self.write(folder / "overfitting.png", "curves")

    def repeat(self, name: str = "small") -> None:
        study = self.params.all_repeated[name].repeats
        own, other = self.params.seeds_of(name)
        for seed in (own, other):
            self.write(self.workspace.repeated_model(study, name, seed), f"model of seed {seed}")
        path = self.workspace.repeated_training(study, name)
        self.write(path, f"seed,epochs,val_accuracy\n{own},3,0.75\n{other},3,0.25\n")

    def evaluate_repeats(self, study: str = "digits") -> None:
        folder = self.workspace.repeats(study)
        self.write(folder / "seeds.csv", "variant,seed,test_accuracy\nsmall,7,0.5\nsmall,8,0.25\n")
        self.write(folder / "summary.csv", "variant,num_seeds,test_accuracy_mean\nsmall,2,0.375\n")
        self.write(folder / "differences.csv", "first,second,verdict\n")
        self.write(folder / "accuracy.png", "points")

    def tabulate(self) -> None:
        self.write(self.workspace.searches_table, "search,units,mean_accuracy\ngrid_1,256-32,0.9\ngrid_1,256-64,0.9\n")

    def conclude(self, study: str = "digits") -> None:
        folder = self.workspace.conclusions(study)
        conclusion = {"number": 5, "claim": "Three are best.", "verdict": "undecided", "numbers": {"low": [0.25]}}
        content = {"agreement_with_reported": {"rank_correlation": 0.5}, "conclusions": [conclusion]}
        self.write(folder / "conclusions.json", json.dumps(content))
        self.write(folder / "closing_table.csv", "layers\n2\n")
        self.write(folder / "reported_against_measured.png", "points")
        self.write(folder / "heat_maps" / "grid_1.png", "map")

    def select_regressor(self) -> None:
        candidate = {"variant": "wave_net", "study": "waves", "parameters": 204, "val_mean_absolute_error": 0.04}
        rule = {"metric": "val_mean_absolute_error", "tolerance": 0.0, "prefer_fewer_parameters": True}
        outcome = {**rule, "selected": "wave_net", "reason": "It is best.", "candidates": [candidate]}
        self.write(self.workspace.selection("wave-regressor"), json.dumps(outcome))

    def whole_study(self) -> None:
        """All stages of something of every kind."""
        self.fetch()
        self.prepare()
        self.generate()
        self.fetch_weights()
        self.features()
        for search in self.params.searches:
            self.search(search)
        self.sweep()
        for position, name in enumerate(self.params.all_variants):
            self.train(name, seed=float(position))
        for study in self.params.studies:
            self.evaluate(study)
            self.compare(study)
        self.evaluate_signal()
        for name in self.params.derived:
            self.kernels(name)
        self.contrast()
        self.repeat()
        self.evaluate_repeats()
        self.tabulate()
        self.conclude()
        self.summarize()
        self.select("small")
        self.select_regressor()

    @staticmethod
    def write(path: Path, content: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def everything(self) -> None:
        """All stages but those of the second study, which lists one of the two variants."""
        self.fetch()
        self.prepare()
        self.train("small")
        self.train("large")
        self.evaluate("digits")
        self.compare("digits")
        self.summarize()
        self.select("small")

    @property
    def view(self) -> View:
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri.startswith("http"):
            uri = f"sqlite:///{self.workspace.root / 'mlflow.db'}"
        return View(MlflowClient(uri, registry_uri=uri))

    def process(self, code: str) -> subprocess.Popen[str]:
        """Python in the workspace, as DVC runs a stage; `workspace`, `params` and modules of tracking are at hand."""
        return subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code],
            cwd=self.workspace.root,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, code: str) -> str:
        """What Python prints; on stderr nothing may come."""
        with self.process(code) as process:
            output, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
        return output

    @staticmethod
    def epoch(epoch: int, seed: float = 0.0) -> dict[str, float]:
        """The row of history.csv that `train` writes."""
        return {name: seed + epoch + index / 10 for index, name in enumerate(CURVES)}


def history_csv(num_epochs: int, seed: float = 0.0) -> str:
    rows = [",".join(["epoch", *CURVES])]
    for epoch in range(1, num_epochs + 1):
        rows.append(",".join([str(epoch), *map(str, FakeStages.epoch(epoch, seed).values())]))
    return "\n".join(rows) + "\n"


def training_metrics(num_epochs: int, seed: float = 0.0) -> dict[str, Any]:
    figures = {"loss": 0.4 + seed, "cross_entropy": 0.3, "accuracy": 0.9}
    return {
        "parameters": {"total": 2355, "trainable": 2355},
        "epochs": num_epochs,
        "best_epoch": 2,
        "train": {"last": figures, "best": figures},
        "validation": {"last": figures, "best": {**figures, "accuracy": 0.95}},
        "train_evaluated": figures,
    }


def regression_metrics(num_epochs: int) -> dict[str, Any]:
    figures = {"loss": 0.05, "mean_absolute_error": 0.04}
    return {
        "parameters": {"total": 204, "trainable": 204},
        "epochs": num_epochs,
        "best_epoch": 2,
        "train": {"last": figures, "best": figures},
        "validation": {"last": figures, "best": {**figures, "mean_absolute_error": 0.03}},
        "train_evaluated": {"mean_absolute_error": 0.02},
    }
