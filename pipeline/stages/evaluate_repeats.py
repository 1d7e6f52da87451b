"""Score the repeats of a study on the test set, and compare variants over the seeds of their training."""

import itertools

import numpy as np
import pandas as pd

from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data.examples import read_images
from pipeline.errors import PipelineError
from pipeline.evaluation import pairwise, scoring, seeds
from pipeline.evaluation.reported import reported_accuracies
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.plots import repeats as plots
from pipeline.runtime import backend


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Score every variant under every seed; save the metrics, their means and intervals, and a plot."""
    spec = require(params.repeats, name, "study under repeats")
    variants = params.repeated_in(name)
    chosen = backend.for_predicting(variant.family for variant in variants.values())
    backend.configure(chosen, threads=params.compute.threads)
    num_classes = len(params.datasets[spec.dataset].classes)
    examples = read_images(workspace.prepared(spec.dataset, "test"), num_classes=num_classes)
    rows, repeated = [], {}
    for variant_name, variant in variants.items():
        correct, losses = [], []
        for row in trained_rows(workspace, params, name, variant_name):
            model = storage.read_model(workspace.repeated_model(name, variant_name, int(row["seed"])))
            probabilities, penalty = scoring.predict_in_batches(
                model, examples.inputs, scoring.batch_size_of(variant.family)
            )
            tested = scoring.score(probabilities, examples.targets, penalty, variant.objective)
            correct.append(scoring.is_correct(probabilities, examples.targets))
            losses.append(scoring.example_losses(probabilities, examples.targets, variant.objective))
            rows.append(
                {
                    "variant": variant_name,
                    **row,
                    "test_accuracy": tested.accuracy,
                    "test_cross_entropy": tested.cross_entropy,
                    "test_loss": tested.loss,
                }
            )
        repeated[variant_name] = pairwise.Tested(np.array(correct), np.array(losses), variant.objective)
    if spec.baseline is None:
        pairs = list(itertools.combinations(variants, 2))
    else:
        pairs = [(other, spec.baseline) for other in variants if other != spec.baseline]
    table = pd.DataFrame(rows)
    summary = seeds.summary(table)
    folder = workspace.repeats(name)
    storage.write_table(folder / "seeds.csv", table)
    storage.write_table(folder / "summary.csv", summary)
    storage.write_table(folder / "differences.csv", seeds.differences(repeated, pairs))
    reported = {
        variant: item.test_accuracy
        for (study, variant), item in reported_accuracies(workspace.reported_results, params).items()
        if study == name and item.fault is None
    }
    title = f"{params.title_of(name)}: every seed"
    figure = plots.accuracy_over_seeds(table, summary, reported=reported, title=title)
    storage.write_figure(folder / "accuracy.png", figure)


def trained_rows(workspace: Workspace, params: Params, study: str, name: str) -> list[dict[str, float]]:
    """The training metrics of a repeated variant, a row per seed. Raises PipelineError when the seeds are others."""
    path = workspace.repeated_training(study, name)
    table = storage.read_table(path)
    expected, found = params.seeds_of(name), list(table.get("seed", ()))
    if found != expected:
        raise PipelineError(f"{path}: expected the seeds {expected}, got {found}. Run `dvc repro`.")
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
