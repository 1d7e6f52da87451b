"""The process that stages are forked from while many of them run: it has imported what most of them import.

Of a stage of seconds, importing MLflow, pandas and the like is half. Nothing of this package is among it, for a stage
runs the code of its own workspace, nor what a stage chooses by its settings: Keras, and TensorFlow.
"""

from __future__ import annotations

import gc
import importlib
import os
import runpy
import socket
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager

from pipeline.runtime import fork_server, process
from pipeline.tracking import settings

PACKAGES = (
    "h5py",
    "jax",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "mlflow",
    "mlflow.store.artifact.local_artifact_repo",
    "mlflow.store.tracking.sqlalchemy_store",
    "numpy",
    "pandas",
    "pydantic",
    "seaborn",
    "sklearn.model_selection",
)


def server(environment: Mapping[str, str]) -> AbstractContextManager[dict[str, str]]:
    """Within, stages that are started in the environment that this gives are forked instead."""
    return fork_server.started([sys.executable, "-m", "pipeline.runtime.preloaded"], environment)


def main(listener: socket.socket) -> None:
    """Import the packages, then fork for each request and run there what it asks for."""
    process.prepare_process()
    settings.prepare_environment()
    for name in PACKAGES:
        importlib.import_module(name)
    # Looking for garbage would copy the pages that the forks share.
    gc.freeze()
    run(fork_server.serve(listener))


def run(request: fork_server.Request) -> None:
    """Run a module as `python -m` does, with the code of its own folder."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "pipeline"]:
        del sys.modules[name]
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    sys.path[0] = request.folder
    sys.argv = [request.module, *request.arguments]
    importlib.invalidate_caches()
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
