"""The selected models, which lie in the repository as a DVC remote: to be had without training them."""

import os
import subprocess
import sys

from pipeline.config.params import Params
from pipeline.errors import PipelineError
from pipeline.io import storage
from pipeline.io.paths import Workspace
from pipeline.runtime.process import environment_of_stages

# The name of the remote in .dvc/config.
REMOTE = "champions"


def pull(workspace: Workspace, params: Params) -> list[str]:
    """Fetch the selected model of every task from the repository's own remote; returns their paths.

    Raises PipelineError when DVC cannot: after a training of one's own the remote has another model.
    """
    paths = []
    for task in params.tasks:
        name = str(storage.read_json(workspace.selection(task))["selected"])
        paths.append(str(workspace.model(name, params.all_variants[name]).relative_to(workspace.root)))
    command = [sys.executable, "-m", "dvc", "pull", "--remote", REMOTE, *paths]
    environment = environment_of_stages(os.environ)
    finished = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        reason = finished.stderr.strip() or finished.stdout.strip()
        raise PipelineError(
            f"expected the models of dvc.lock in the remote {REMOTE!r} of .dvc/config, but DVC says: {reason} "
            "Check out a commit whose dvc.lock and champions belong together, or train with `make repro`."
        )
    return paths
