"""The environment variables of a process: what must be set or gone before MLflow, JAX and TensorFlow are imported."""

import getpass
import os

# The run of `mlflow run`, moved here from MLFLOW_RUN_ID, which would make MLflow resume and rename that run.
PARENT_RUN_VARIABLE = "PIPELINE_PARENT_RUN_ID"

# Defaults, where the user has not set the variable. MLflow's own retries keep a stage waiting for minutes.
QUIET_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# What `mlflow run` exports to say where fluent calls log to; each run here states its experiment itself.
REDIRECTIONS = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
# The user's settings that would change outputs begin so: docs/reproducibility.md.
CHANGING_OUTPUTS = ("DNNL_", "JAX_", "KERAS_MAX_", "KERAS_NNX_", "ONEDNN_", "TF_", "XLA_")


def prepare_environment() -> None:
    """Quiet MLflow, shorten its retries, remove what `mlflow run` exports and what changes outputs, name the user."""
    for name, value in QUIET_DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name in list(os.environ):
        if name in REDIRECTIONS or name.startswith(CHANGING_OUTPUTS):
            del os.environ[name]
    try:
        getpass.getuser()
    except (KeyError, OSError):
        # In a container a user id may have no name, and DVC ends without one.
        os.environ["LOGNAME"] = str(os.getuid())
    parent = os.environ.pop("MLFLOW_RUN_ID", None)
    if parent:
        os.environ[PARENT_RUN_VARIABLE] = parent
