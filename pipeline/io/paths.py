"""Where every file of a workspace lies, relative to its root: the twin of the paths in dvc.yaml."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.config.models import MobileNetVariant, SweptVariant, VariantBase


@dataclass(frozen=True)
class Workspace:
    """A folder with params.yaml, params, dvc.yaml and all that the stages make. DVC runs each stage in it."""

    root: Path

    @property
    def reported_results(self) -> Path:
        return self.root / "reported_results.yaml"

    @property
    def variants_table(self) -> Path:
        return self.root / "results" / "variants.csv"

    @property
    def headlines(self) -> Path:
        """Folder of what `dvc metrics show` has in its rows: a file per variant with a few metrics."""
        return self.root / "results" / "metrics"

    def headline(self, variant: str) -> Path:
        """The few metrics of a variant."""
        return self.headlines / f"{variant}.json"

    @property
    def searches_table(self) -> Path:
        return self.root / "results" / "searches.csv"

    @property
    def findings_template(self) -> Path:
        """The findings in words, whose numbers are filled in."""
        return self.root / "docs" / "findings.md.jinja"

    @property
    def block_costs(self) -> Path:
        """What batch normalization and dropout cost per epoch, as the benchmark measured it."""
        return self.root / "benchmarks" / "block_costs.csv"

    def raw(self, source: str) -> Path:
        """Folder of the four IDX files of a source, gzip-compressed."""
        return self.root / "data" / "raw" / source

    def weights(self, name: str) -> Path:
        """Published weights of a frozen network, as Keras loads them."""
        return self.root / "data" / "weights" / f"{name}.weights.h5"

    def features(self, name: str, split: str) -> Path:
        """An .npz with `features` (n, channels) float32 and `labels` (n,) uint8; split is train or validation."""
        return self.root / "data" / "features" / name / f"{split}.npz"

    def prepared(self, dataset: str, split: str) -> Path:
        """An .npz with one row per example; split is train, validation or test, and of a signal also extended.

        A dataset has `images` (n, 28, 28) uint8 and `labels` (n,) uint8, a signal `inputs` (n, num_points) float32 and
        `targets` (n, 4) float32.
        """
        return self.root / "data" / "prepared" / dataset / f"{split}.npz"

    def training_data(self, variant: VariantBase, split: str) -> Path:
        """What a variant is trained on or watched on: a prepared split, or the features of one."""
        if isinstance(variant, MobileNetVariant):
            return self.features(variant.features, split)
        return self.prepared(variant.dataset, split)

    def dataset_results(self, dataset: str) -> Path:
        """statistics.json and the plots of a dataset or signal."""
        return self.root / "results" / "data" / dataset

    def model(self, name: str, variant: VariantBase) -> Path:
        """The trained model of a variant, in the folder of its home study."""
        return self.root / "models" / variant.dataset / variant.study / f"{name}.keras"

    def training_results(self, name: str, variant: VariantBase) -> Path:
        """history.csv, metrics.json and curves.png of a trained variant; those of a sweep lie in its folder."""
        study = self.root / "results" / "train" / variant.dataset / variant.study
        return study / variant.sweep / name if isinstance(variant, SweptVariant) else study / name

    def search_results(self, name: str) -> Path:
        """folds.csv of a search: a row per configuration, with its metrics in each fold."""
        return self.root / "results" / "search" / name

    def outcome(self, name: str) -> Path:
        """What a search or a sweep chose: the hidden layers that derived variants take, and why."""
        return self.root / "results" / "outcomes" / f"{name}.json"

    def unfinished_search(self, name: str) -> Path:
        """The configurations of a search that are done while others are not: no output, gone when all are."""
        return self.root / "data" / "unfinished" / name

    def kernels(self, name: str) -> Path:
        """statistics.csv and violins.png of the weights of every dense layer of a derived variant."""
        return self.root / "results" / "kernels" / name

    def contrast(self, study: str) -> Path:
        """The variants of a study against its baseline."""
        return self.root / "results" / "contrast" / study

    def conclusions(self, study: str) -> Path:
        """What the grid searches of a study say about its source's conclusions."""
        return self.root / "results" / "conclude" / study

    def evaluation(self, study: str) -> Path:
        """metrics.json: the test metrics of every variant that a study lists."""
        return self.root / "results" / "evaluate" / study

    def evaluation_details(self, study: str, name: str) -> Path:
        """Per-class tables and plots of one variant on the test set."""
        return self.evaluation(study) / "variants" / name

    def predictions(self, study: str) -> Path:
        """Predicted probabilities on the test set, one .npz per variant that a study lists."""
        return self.root / "predictions" / study

    def comparison(self, study: str) -> Path:
        """The ranking table and the overlaid curves of a study."""
        return self.root / "results" / "compare" / study

    def repeated_model(self, study: str, name: str, seed: int) -> Path:
        """A variant of a study, trained once more under another seed."""
        return self.root / "models" / "repeats" / study / name / f"seed_{seed}.keras"

    def repeats(self, study: str) -> Path:
        """What the repeats of a study give: a row per variant and seed, and their means and intervals."""
        return self.root / "results" / "repeats" / study

    def repeated_training(self, study: str, name: str) -> Path:
        """A row per seed of a repeated variant: its training and validation metrics."""
        return self.repeats(study) / "training" / f"{name}.csv"

    def selection(self, task: str) -> Path:
        """Which variant was selected for a registered model, and why."""
        return self.root / "results" / "select" / f"{task}.json"

    @property
    def site(self) -> Path:
        """The report: index.html and the pages that it leads to."""
        return self.root / "site"
