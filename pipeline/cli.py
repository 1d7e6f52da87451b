"""`python -m pipeline ...`: what is not a DVC stage."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from pipeline.errors import PipelineError

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


Arguments = ParamSpec("Arguments")


def reports_errors(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """A user's mistake ends in its message and exit status 1, without a traceback."""

    @functools.wraps(command)
    def wrapper(*arguments: Arguments.args, **options: Arguments.kwargs) -> None:
        try:
            command(*arguments, **options)
        except PipelineError as error:
            sys.exit(f"error: {error}")

    return wrapper


@app.command()
@reports_errors
def demo() -> None:
    """Run every stage on small embedded data, in the workspace .demo, and show what came out."""
    from rich.console import Console

    from pipeline import demo as demonstration
    from pipeline import report, tracking
    from pipeline.params import load_params

    workspace = demonstration.prepare(Path.cwd())
    params = load_params(workspace.params)
    demonstration.reproduce(workspace)
    uri = tracking.shown_uri(workspace)
    runs = "make ui DEMO=1" if uri.startswith("sqlite:") else uri
    Console().print(report.summary(workspace, params, runs=runs))


@app.command()
@reports_errors
def sync() -> None:
    """Bring MLflow to the state of this workspace's results: make what is missing, repair what is partial."""
    from rich.console import Console

    from pipeline import tracking
    from pipeline.params import load_params
    from pipeline.paths import Workspace

    workspace = Workspace(Path.cwd())
    Console().print(str(tracking.sync(workspace, load_params(workspace.params))))


@app.command()
@reports_errors
def report() -> None:
    """Write the results into README.md and docs/findings.md, from the committed figures."""
    from pipeline import report as reporting
    from pipeline import storage
    from pipeline.params import load_params
    from pipeline.paths import Workspace

    workspace = Workspace(Path.cwd())
    params = load_params(workspace.params)
    readme = workspace.root / "README.md"
    results = reporting.results(workspace, params)
    storage.write_bytes(readme, reporting.update_readme(storage.read_text(readme), results).encode())
    docs = workspace.root / "docs"
    text = reporting.findings(workspace, params, storage.read_text(docs / "findings.md.jinja"))
    storage.write_bytes(docs / "findings.md", text.encode())


@app.command()
@reports_errors
def predict(
    task: Annotated[str, typer.Argument(help="A task of params.yaml, as mnist-classifier.", show_default=False)],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="PNG, JPEG, .npy and IDX files, or folders of them. Pictures are made as MNIST or Fashion-MNIST has "
            "them; arrays are raw pixels (28, 28) or (n, 28, 28), of the waves' task (1000,) or (n, 1000).",
            show_default=False,
        ),
    ],
    version: Annotated[int | None, typer.Option(min=1, help="Which version instead of the champion.")] = None,
    output: Annotated[Path | None, typer.Option(help="A .csv or .json file for all rows.")] = None,
) -> None:
    """Predict files with the champion of a task: class and probability, or the parameters of waves."""
    from rich.console import Console

    from pipeline import prediction
    from pipeline.params import load_params
    from pipeline.paths import Workspace

    workspace = Workspace(Path.cwd())
    params = load_params(workspace.params)
    if output is not None:
        prediction.check_output(output)
    predictions = prediction.predict(workspace, params, task, inputs, version=version)
    if output is not None:
        prediction.write(output, predictions)
    Console().print(prediction.shown(predictions, output))
