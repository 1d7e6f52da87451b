"""A workspace of the tiny study in the folder project, and what its user would do in it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from ruamel.yaml import YAML

from pipeline.config.load import FILES
from tests import params_files

PARAMS = Path(__file__).parent / "project"
COPIED = (
    "dvc.yaml",
    "reported_results.yaml",
    ".gitignore",
    ".dvcignore",
    "MLproject",
    "conda.yaml",
    "pipeline",
    "benchmarks/block_costs.csv",
    "benchmarks/updates.csv",
    "docs/findings.md.jinja",
)
DVC_FOLDER = ("config", ".gitignore")

# Those that make outputs: `check` runs whenever parameters have changed, `sync` whenever DVC does.
STAGES = {
    "fetch@digits",
    "prepare@digits",
    "train@shared",
    "train@penalized",
    "warm_start@continued",
    "search@widths",
    "derive@refitted",
    "kernels@refitted",
    "tabulate",
    "evaluate@basics",
    "evaluate@extras",
    "compare@basics",
    "compare@extras",
    "summarize",
    "register@digit-classifier",
    "report",
}

WITHOUT_OUTPUTS = {"check", "sync"}

# What depends on the lists of variants: of all studies, and of one.
AFTER_TRAINING = {
    stage for stage in STAGES if stage.startswith(("evaluate", "compare", "summarize", "register", "report"))
}
AFTER_EXTRAS = AFTER_TRAINING - {"evaluate@basics", "compare@basics"}

VARIANTS_OF_STUDY = {"basics": {"shared", "continued"}, "extras": {"shared", "penalized", "refitted"}}
EPOCHS = {"shared": 2, "penalized": 1, "continued": 2, "refitted": 2}
CONFIGURATIONS = {"8", "16"}

PREPARED = Path("data/prepared/digits")

# Of the variant that is trained again and again, because nothing but the comparison depends on it.
MODEL = Path("models/digits/extras/penalized.keras")
RESULTS = Path("results/train/digits/extras/penalized")
RESULT_FILES = ("history.csv", "metrics.json", "curves.png")

# Seconds.
LIMIT = 900

# Whoever runs the tests in the background has Ctrl-C ignored, and so would all that they start.
DVC_THAT_HEARS_CTRL_C = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from dvc.cli import main
sys.exit(main())
"""

SYNC_THAT_HEARS_CTRL_C = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipeline.cli import main
sys.argv = ["pipeline", "sync"]
main()
"""


@dataclass(frozen=True)
class Study:
    """A workspace, and what a user would do in it."""

    root: Path
    environment: Mapping[str, str]

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environment, **variables},
            text=True,
            capture_output=True,
            check=False,
            timeout=LIMIT,
        )
        if check and result.returncode:
            raise RuntimeError(f"{command} exited with {result.returncode}:\n{result.stdout}\n{result.stderr}")
        return result

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments).stdout

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments).stdout

    def stage(self, stage: str, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A stage without DVC, so that it meets the files that the test has put there."""
        return self.run(sys.executable, "-m", "pipeline.stages", stage, name, check=False, **variables)

    def sync(self) -> str:
        # As a terminal of 80 columns would wrap it.
        return " ".join(self.run(sys.executable, "-m", "pipeline", "sync").stdout.split())

    def status(self) -> dict[str, Any]:
        """Which stages that make outputs `dvc repro` would run because of what."""
        status = json.loads(self.dvc("status", "--json"))
        return {stage: why for stage, why in status.items() if stage not in WITHOUT_OUTPUTS}

    def repro(self, *arguments: str) -> set[str]:
        """The stages that ran, of those that make outputs."""
        return ran(self.dvc("repro", *arguments))

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "results")

    @contextlib.contextmanager
    def params(self) -> Iterator[dict[str, Any]]:
        """All sections, to be edited."""
        yaml = YAML()
        contents = {file: yaml.load(self.root / file) for file in FILES}
        sections = {name: value for content in contents.values() for name, value in content.items()}
        yield sections
        for file, content in contents.items():
            yaml.dump({name: sections[name] for name in content}, self.root / file)

    def table(self, path: str) -> list[dict[str, str]]:
        with (self.root / path).open(newline="") as file:
            return list(csv.DictReader(file))

    def content(self) -> dict[str, str]:
        """The hash of every file that stages make."""
        folders = [self.root / name for name in ("data", "models", "predictions", "results", "site")]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): sha256(path.read_bytes()).hexdigest() for path in files}

    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.root / 'mlflow.db'}")

    def runs(self, filter_string: str = "") -> list[tuple[str, Run]]:
        """Every run, with its experiment's name."""
        client = self.client()
        names = {item.experiment_id: item.name for item in client.search_experiments()}
        return [(names[run.info.experiment_id], run) for run in client.search_runs(list(names), filter_string)]

    def copy(self, root: Path) -> Study:
        shutil.copytree(self.root, root)
        return Study(root, self.environment)


@dataclass(frozen=True)
class Built:
    """The workspace after its first `dvc repro`, and what was seen on the way; nobody changes it."""

    study: Study
    ran: list[str]
    untracked: list[str]
    second_repro: list[str]
    second_repro_seconds: float


def ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output)) - WITHOUT_OUTPUTS


def make_environment(folder: Path) -> dict[str, str]:
    """No settings of the user or of other tests, the Python of these tests, and caches below `folder`."""
    foreign = ("MLFLOW_", "DVC_", "PIPELINE_", "GIT_", "KERAS_", "JAX_", "DATASET_MIRROR")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(temporary),
        "DVC_NO_ANALYTICS": "true",
        "DVC_GLOBAL_CONFIG_DIR": str(folder / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / "system"),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_{key}": "tests" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
    }


def make_study(root: Path, repository: Path, environment: Mapping[str, str]) -> Study:
    (root / ".dvc").mkdir(parents=True)
    for name in (*COPIED, *(f".dvc/{name}" for name in DVC_FOLDER)):
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copy2(source, root / name)
    params_files.copy(PARAMS, root)
    study = Study(root, environment)
    study.git("init", "--quiet", "--initial-branch", "main")
    study.commit()
    return study


def command_of(step: str) -> tuple[str, ...]:
    if step == "sync":
        return (sys.executable, "-c", SYNC_THAT_HEARS_CTRL_C)
    return (sys.executable, "-c", DVC_THAT_HEARS_CTRL_C, "repro", "--force", "--single-item", step)
