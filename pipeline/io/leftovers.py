"""Models and results of what is no longer in the parameters: DVC would count them among the folders that it watches."""

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io.paths import Workspace

MAX_NAMED = 10
# What `evaluate_repeats` writes beside the folder with a table for each variant.
OF_REPEATS = ("seeds.csv", "summary.csv", "differences.csv", "accuracy.png")


def refuse(workspace: Workspace, params: Params) -> None:
    """Raises PipelineError naming what `find` finds."""
    found = find(workspace, params)
    if found:
        named = "\n".join(f"  {path.relative_to(workspace.root)}" for path in found[:MAX_NAMED])
        more = f"\n  and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
        raise PipelineError(
            "expected models and results of what is in the parameters alone, because DVC watches their folders; these "
            f"belong to nothing there, perhaps since a variant was renamed or a branch switched:\n{named}{more}\n"
            "Delete them by `python -m pipeline tidy`, or put back what they belong to."
        )


def remove(workspace: Workspace, params: Params) -> list[Path]:
    """Delete what `find` finds, and return it."""
    found = find(workspace, params)
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return found


def find(workspace: Workspace, params: Params) -> list[Path]:
    """The files and folders below models and results that belong to no variant, search, study or task; sorted.

    Hidden files are left out: outputs that are being written, and what DVC keeps for Git.
    """
    made = _made(workspace, params)
    folders = {parent for path in made for parent in path.parents}
    return [
        path for name in ("models", "results") for path in _unknown(workspace.root / name, made=made, folders=folders)
    ]


def _made(workspace: Workspace, params: Params) -> set[Path]:
    """What stages make below models and results: files, and folders of which all belongs to one item."""
    studies = [*params.studies, *params.signals]
    return {
        workspace.variants_table,
        workspace.searches_table,
        *(workspace.headline(name) for name in params.all_variants),
        *(workspace.dataset_results(name) for name in (*params.datasets, *params.signals)),
        *(workspace.model(name, variant) for name, variant in params.all_variants.items()),
        *(workspace.training_results(name, variant) for name, variant in params.all_variants.items()),
        *(workspace.search_results(name) for name in params.searches),
        *(workspace.outcome(name) for name in (*params.searches, *params.sweeps)),
        *(workspace.kernels(name) for name in params.derived),
        *(workspace.evaluation(name) for name in studies),
        *(workspace.comparison(name) for name in params.studies),
        *(workspace.contrast(name) for name in params.contrasts),
        *(workspace.conclusions(name) for name in params.conclusions),
        *(workspace.repeats(study) / name for study in params.repeats for name in OF_REPEATS),
        *(workspace.repeated_training(item.repeats, name) for name, item in params.all_repeated.items()),
        *(workspace.repeated_model(item.repeats, name, 0).parent for name, item in params.all_repeated.items()),
        *(workspace.selection(name) for name in params.tasks),
    }


def _unknown(folder: Path, *, made: Collection[Path], folders: Collection[Path]) -> Iterator[Path]:
    """What lies in a folder or below it and was not made, from the top."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path in made or path.name.startswith("."):
            continue
        if path in folders and path.is_dir():
            yield from _unknown(path, made=made, folders=folders)
        else:
            yield path
