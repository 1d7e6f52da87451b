"""Where every file of a workspace lies, relative to its root: the twin of the paths in dvc.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.params import VariantBase


@dataclass(frozen=True)
class Workspace:
    """A folder with params.yaml, dvc.yaml and all that the stages make. DVC runs each stage in it."""

    root: Path

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def reported_results(self) -> Path:
        return self.root / "reported_results.yaml"

    @property
    def variants_table(self) -> Path:
        return self.root / "results" / "variants.csv"

    def raw(self, dataset: str) -> Path:
        """Folder of the four IDX files, gzip-compressed."""
        return self.root / "data" / "raw" / dataset

    def prepared(self, dataset: str, split: str) -> Path:
        """An .npz with `images` (n, 28, 28) uint8 and `labels` (n,) uint8; split is train, validation or test."""
        return self.root / "data" / "prepared" / dataset / f"{split}.npz"

    def dataset_results(self, dataset: str) -> Path:
        """statistics.json and the pictures of a dataset."""
        return self.root / "results" / "data" / dataset

    def model(self, name: str, variant: VariantBase) -> Path:
        """The trained model of a variant, in the folder of its home study."""
        return self.root / "models" / variant.dataset / variant.study / f"{name}.keras"

    def training_results(self, name: str, variant: VariantBase) -> Path:
        """history.csv, metrics.json and curves.png of a trained variant."""
        return self.root / "results" / "train" / variant.dataset / variant.study / name

    def evaluation(self, study: str) -> Path:
        """metrics.json: the test metrics of every variant that a study lists."""
        return self.root / "results" / "evaluate" / study

    def evaluation_details(self, study: str, name: str) -> Path:
        """Per-class tables and pictures of one variant on the test set."""
        return self.evaluation(study) / "variants" / name

    def predictions(self, study: str) -> Path:
        """Predicted probabilities on the test set, one .npz per variant that a study lists."""
        return self.root / "predictions" / study

    def comparison(self, study: str) -> Path:
        """The ranking table and the overlaid curves of a study."""
        return self.root / "results" / "compare" / study

    def selection(self, task: str) -> Path:
        """Which variant was selected for a registered model, and why."""
        return self.root / "results" / "select" / f"{task}.json"
