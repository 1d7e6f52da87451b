"""Search over the units of the hidden layers by cross-validation; an interrupted search goes on where it stopped."""

import contextlib
import hashlib
import shutil
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.models import Search, units_text
from pipeline.config.params import Params
from pipeline.config.section import require
from pipeline.data import preprocessing
from pipeline.data.examples import Examples, read_labelled
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime import progress
from pipeline.training import cross_validation
from pipeline.training.cross_validation import Configuration

# What a fit depends on besides the parameters and the images.
CODE = ("models", "training")


def main(workspace: Workspace, params: Params, name: str) -> None:
    """Cross-validate every configuration of a search; save the scores of all, and the best one."""
    from pipeline.tracking import live

    spec = require(params.searches, name, "search")
    examples = _all_training_examples(workspace, spec)
    unfinished = workspace.unfinished_search(name)
    # Of other parameters, images or code nothing is taken over.
    folder = unfinished / _key(spec, params, examples)
    finished = read_finished(folder, spec)
    todo = [units for units in spec.configurations if units not in finished]
    with (
        live.search_run(workspace, params, name, num_done=len(finished)) as run,
        progress.steps(name, len(spec.configurations), done=len(finished)) as advance,
    ):
        try:
            for configuration, seconds in cross_validation.run(
                spec,
                examples,
                configurations=todo,
                seed=params.compute.seed,
                num_workers=params.compute.threads,
            ):
                finished[configuration.units] = configuration
                units, accuracy = units_text(configuration.units), configuration.mean_accuracy
                storage.write_json(folder / f"{units}.json", asdict(configuration))
                run.log_configuration(units, seconds, {"mean_accuracy": accuracy})
                advance(f"{units}: accuracy {accuracy:.4f}")
        except BrokenProcessPool:
            raise PipelineError(
                f"searches.{name}: a worker process died, probably for want of memory. Free some, or lower "
                "compute.threads in params/compute.yaml; the same command goes on where it stopped."
            ) from None
        ordered = [finished[units] for units in spec.configurations]
        storage.write_table(workspace.search_results(name) / "folds.csv", cross_validation.table(ordered))
        storage.write_json(workspace.outcome(name), outcome(name, spec, ordered))
    shutil.rmtree(unfinished, ignore_errors=True)


def read_finished(folder: Path, spec: Search) -> dict[tuple[int, ...], Configuration]:
    """The configurations that an interrupted search has finished, a file each; a damaged file counts as none."""
    found = {}
    for units in spec.configurations:
        with contextlib.suppress(PipelineError, KeyError, TypeError):
            content = storage.read_json(folder / f"{units_text(units)}.json")
            scores = (tuple(content[name]) for name in ("accuracies", "cross_entropies"))
            found[units] = Configuration(units, content["parameters"], *scores)
    return found


def outcome(name: str, spec: Search, configurations: list[Configuration]) -> dict[str, Any]:
    """Which configuration was chosen and why, with its hidden layers as params.yaml would state them."""
    best = cross_validation.best(configurations)
    return {
        "search": name,
        "selected": units_text(best.units),
        "units": list(best.units),
        "mean_accuracy": best.mean_accuracy,
        "reason": f"It has the highest mean accuracy over {spec.folds} folds of {len(configurations)} configurations."
        if len(configurations) > 1
        else "It is the only configuration.",
        "layers": [layer.model_dump(exclude_defaults=True) for layer in spec.layers(best.units)],
    }


def _all_training_examples(workspace: Workspace, spec: Search) -> Examples:
    """Training and validation images together: each is held out by one fold."""
    parts = read_labelled(lambda split: workspace.prepared(spec.dataset, split))
    examples = Examples(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "targets")))
    smallest = np.bincount(examples.targets).min()
    if smallest < spec.folds:
        raise PipelineError(
            f"{workspace.prepared(spec.dataset, 'train').parent}: expected {spec.folds} examples or more of each "
            f"class, one per fold, got {smallest}. Lower the search's folds, or use more images."
        )
    return examples


def _key(spec: Search, params: Params, examples: Examples) -> str:
    """A hash of all that the scores of a configuration depend on beside its units."""
    package = Path(__file__).parents[1]
    code = [path for part in CODE for path in sorted((package / part).rglob("*.py"))]
    facts = [
        spec.model_dump_json(),
        str(params.compute.seed),
        preprocessing.digest(examples.inputs, examples.targets),
        *map(storage.sha256, code),
    ]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()
