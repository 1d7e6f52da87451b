"""`python -m pipeline ...`: what is not a DVC stage."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType

from pipeline.errors import PipelineError
from pipeline.runtime.environment import prepare_environment

if TYPE_CHECKING:
    from pipeline.config.params import Params
    from pipeline.io.paths import Workspace

# Exit status of a promotion that the gate refuses, and of predictions of some files only, as against 1 of a mistake.
REFUSED, INCOMPLETE = 3, 4

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def prepare() -> None:
    """Set what MLflow reads from the environment when it is imported, which some commands do."""
    prepare_environment()


def main() -> None:
    """Run a command. A user's mistake ends it with a message and exit status 1, without a traceback."""
    try:
        app()
    except PipelineError as error:
        sys.exit(f"error: {error}")


# Other packages are imported in the command that needs them: all of them take seconds.


def _here() -> tuple[Workspace, Params]:
    """The workspace that the command runs in, and its parameters."""
    from pipeline.config.load import load_params
    from pipeline.io.paths import Workspace

    workspace = Workspace(Path.cwd())
    return workspace, load_params(workspace.root)


def _show(shown: RenderableType, *, soft_wrap: bool = False) -> None:
    """Print a table or a text; with `soft_wrap`, each line is whole however narrow the terminal."""
    Console().print(shown, soft_wrap=soft_wrap)


@app.command()
def demo() -> None:
    """Run every stage on small embedded data, in the workspace .demo, and show what came out."""
    from pipeline.config.load import load_params
    from pipeline.report import terminal
    from pipeline.repro import demo as demonstration

    demonstration.require_project(Path.cwd())
    # The files themselves, before they are copied: that is where a typing error is to be mended.
    params = load_params(Path.cwd() / demonstration.PARAMS)
    workspace = demonstration.prepare(Path.cwd())
    demonstration.reproduce(workspace)
    _complete_mlflow(workspace, load_params(workspace.root))
    from pipeline.tracking.store import find_location

    location = find_location(workspace)
    runs = location.shown if location.database is None else "make ui DEMO=1"
    _show(terminal.summary(workspace, params, runs=runs))
    # Not in a table, which would break the line.
    print(terminal.report(workspace))


@app.command()
def repro(
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="after a failure, leave out only what depends on the stage")
    ] = False,
) -> None:
    """Run the stages that are not up to date as `dvc repro` does, but side by side on all cores; then sync MLflow."""
    from pipeline.report import terminal
    from pipeline.repro import parallel

    # The parameters are checked before anything runs.
    workspace, params = _here()
    if not parallel.reproduce(workspace, subject="the study", keep_going=keep_going):
        print("Data and pipelines are up to date.")
    _complete_mlflow(workspace, params)
    print(terminal.report(workspace))


def _complete_mlflow(workspace: Workspace, params: Params) -> None:
    """Make the runs of what no stage had to make, because Git or DVC's cache held it; say what is registered."""
    from pipeline.report import terminal
    from pipeline.tracking import publish, queries

    with _without_mlflow():
        publish.complete(workspace, params)
        _show(terminal.registered(queries.all_versions(workspace)))


@app.command()
def pull_champions() -> None:
    """Fetch the selected models from the repository itself and register them, so that they predict without training."""
    from pipeline.repro import champions

    workspace, params = _here()
    for path in champions.pull(workspace, params):
        print(path)
    _complete_mlflow(workspace, params)


@app.command()
def sync(
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental",
            help="Nothing if these results were synced before, whatever was since done in MLflow by hand; a failure of "
            "MLflow's is a warning.",
        ),
    ] = False,
) -> None:
    """Bring MLflow to the state of this workspace's results: make what is missing, repair what is partial."""
    from pipeline.tracking import publish

    workspace, params = _here()
    if not incremental:
        _show(str(publish.synchronize(workspace, params)))
        return
    with _without_mlflow():
        report = publish.complete(workspace, params)
        _show("MLflow is complete." if report is None else str(report))


@contextlib.contextmanager
def _without_mlflow() -> Iterator[None]:
    """Turn a failure of MLflow's into a warning: the results are there all the same."""
    try:
        yield
    except PipelineError as error:
        print(f"warning: MLflow is not complete: {error} Then run `python -m pipeline sync`.", file=sys.stderr)


@app.command()
def check() -> None:
    """Check every parameter, how they fit together, and that no model or result belongs to none of them."""
    from pipeline.io import leftovers

    workspace, params = _here()
    leftovers.refuse(workspace, params)
    print(
        f"The parameters are valid: {len(params.all_variants)} variants and {len(params.searches)} searches in "
        f"{len(params.studies) + len(params.signals)} studies."
    )


@app.command()
def tidy() -> None:
    """Delete models and results that belong to nothing in the parameters, as after a variant was renamed; list them."""
    from pipeline.io import leftovers

    workspace, params = _here()
    deleted = leftovers.remove(workspace, params)
    for path in deleted:
        print(path.relative_to(workspace.root))
    print(f"{len(deleted)} files and folders deleted. Git and DVC's cache still have what was committed of them.")


@app.command()
def docs() -> None:
    """Write the results into README.md and docs, from the committed metrics.

    A study of your own has no use for the template of the findings: where it is empty they are left out.
    """
    from pipeline.io import storage
    from pipeline.report import readme
    from pipeline.report.findings import findings
    from pipeline.report.models import models_page

    workspace, params = _here()
    root, template = workspace.root, workspace.findings_template
    pages = {}
    for name, write in (("README.md", readme.best_of_each_study), ("docs/results.md", readme.results)):
        table = write(workspace, params)
        pages[name] = readme.update(storage.read_text(root / name), table, name)
    pages["docs/models.md"] = f"{models_page(workspace, params)}\n"
    if template.is_file() and (words := storage.read_text(template)).strip():
        pages["docs/findings.md"] = findings(workspace, params, words)
    for name, text in pages.items():
        storage.write_bytes(root / name, text.encode())


TaskName = Annotated[str, typer.Argument(help="A registered model, such as mnist-classifier.")]


@app.command()
def promote(
    task: TaskName,
    version: Annotated[str, typer.Option(help="A version's number, or challenger.")] = "challenger",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, but change and record nothing.")] = False,
    override: Annotated[
        str | None, typer.Option(metavar="REASON", help="Promote whatever the checks say; the reason is recorded.")
    ] = None,
) -> None:
    """Make a version the champion of its model if it passes the gate; exit status 3 if it is refused."""
    from pipeline.promotion import commands
    from pipeline.report import decisions

    decision = commands.promote(*_here(), task, version=version, dry_run=dry_run, override=override)
    # One line per sentence, so that `tail -1` and `grep` find all of it.
    _show(decisions.promotion(decision, is_dry_run=dry_run), soft_wrap=True)
    if decision.action == "refused":
        sys.exit(REFUSED)


@app.command()
def rollback(task: TaskName, reason: Annotated[str | None, typer.Option(help="Why; it is recorded.")] = None) -> None:
    """Give a model the champion back that it had before the present one."""
    from pipeline.promotion import commands
    from pipeline.report import decisions

    _show(decisions.summary(commands.rollback(*_here(), task, reason)), soft_wrap=True)


@app.command()
def decisions(
    task: TaskName, number: Annotated[int | None, typer.Option(help="Show the checks of this decision.")] = None
) -> None:
    """List what was decided about a model: promotions, refusals and rollbacks, the first one first."""
    from pipeline.report import decisions as shown
    from pipeline.tracking import queries

    history = queries.model_state(*_here(), task).history
    _show(shown.table(history) if number is None else shown.details(history, number))


@app.command()
def predict(
    task: Annotated[str, typer.Argument(help="A registered model, as mnist-classifier.", show_default=False)],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures, .npy and IDX files, or folders of them. Pictures are made as MNIST or Fashion-MNIST has "
            "them; arrays are raw pixels (28, 28) or (n, 28, 28), of the waves' task (1000,) or (n, 1000).",
            show_default=False,
        ),
    ],
    version: Annotated[int | None, typer.Option(min=1, help="Which version instead of the champion.")] = None,
    output: Annotated[Path | None, typer.Option(help="A .csv or .json file for all rows.")] = None,
    each: Annotated[bool, typer.Option("--each", help="Read each digit of a picture with several.")] = False,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="Swap rows and columns first: EMNIST's files have them so.")
    ] = False,
    skip_unusable: Annotated[
        bool, typer.Option("--skip-unusable", help="Predict the other files where some cannot be used; exit status 4.")
    ] = False,
) -> None:
    """Predict files with the champion of a task: class and probability, or the parameters of waves."""
    from pipeline.inference import predictions

    workspace, params = _here()
    if output is not None:
        predictions.check_output(output)
    reading = predictions.Reading(each=each, transposed=transpose, skip_unusable=skip_unusable)
    found = predictions.predict(workspace, params, task, inputs, version=version, reading=reading)
    if output is not None:
        predictions.write(output, found)
    _show(predictions.shown(found, output))
    if found.unusable:
        sys.exit(INCOMPLETE)


@app.command()
def verify(
    stages: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE]...", help="Addresses (train@digits_64x64) or groups (train).")
    ] = None,
    sample: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only N of them, picked at random.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="S", help="Of the sample; without it another one.")] = None,
) -> None:
    """Run stages again in a clean copy, and compare every output with dvc.lock; without STAGE all, for hours."""
    from pipeline.io.paths import Workspace
    from pipeline.repro import verify as verification

    console = Console()
    project = verification.open_project(Workspace(Path.cwd()))
    drawn = secrets.randbelow(10_000) if seed is None else seed
    chosen = verification.choose(project, stages or [], sample=sample, seed=drawn)
    if sample is not None:
        console.print(f"{len(chosen)} stages picked with --seed {drawn}")
    reruns: list[verification.Rerun] = []
    try:
        with console.status("") as status:
            running = verification.verify(project, chosen)
            for number, address in enumerate(chosen, start=1):
                status.update(f"{address} ({number} of {len(chosen)})")
                reruns.append(next(running))
    finally:
        # Hours of work that were interrupted are shown, too.
        if reruns:
            console.print(verification.table(reruns))
    if any(rerun.outcome != "same" for rerun in reruns):
        sys.exit(1)


@app.command()
def lineage(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="models:/NAME@ALIAS, models:/NAME/VERSION, a variant, or an output's MD5."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what a registered model was made of and how to make it again, or what came of a variant or a DVC output."""
    from pipeline.io.paths import Workspace
    from pipeline.repro import lineage as tracing

    traced = tracing.trace(Workspace(Path.cwd()), what)
    if as_json:
        typer.echo(json.dumps(asdict(traced), indent=2))
    else:
        _show(traced.as_text(), soft_wrap=True)
