"""The whole line as a user of DVC and MLflow meets it, on a study so small that a stage takes seconds.

One workspace is built by `dvc repro`, in a folder with a space in its name. What changes a workspace works on a copy,
as a scenario: two of them run at a time behind the tests, because nearly all of a stage's time is imports.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ruamel.yaml import YAML

from pipeline.config.load import FILES
from pipeline.io import dvc_lock
from pipeline.io.paths import Workspace
from pipeline.repro import lineage
from tests import params_files

pytestmark = [
    # The first test that asks for a scenario waits for it.
    pytest.mark.timeout(1800),
    # MLflow uses parts of SQLAlchemy that will be gone one day; its pinned version does not matter to us.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]

PARAMS = Path(__file__).parent / "study"
COPIED = ("dvc.yaml", "reported_results.yaml", ".gitignore", ".dvcignore", "MLproject", "conda.yaml", "pipeline")
DVC_FOLDER = ("config", ".gitignore")

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
}
# What depends on the lists of variants: of all studies, and of one.
AFTER_TRAINING = {stage for stage in STAGES if stage.startswith(("evaluate", "compare", "summarize", "register"))}
AFTER_EXTRAS = AFTER_TRAINING - {"evaluate@basics", "compare@basics"}
VARIANTS_OF_STUDY = {"basics": {"shared", "continued"}, "extras": {"shared", "penalized", "refitted"}}
EPOCHS = {"shared": 2, "penalized": 1, "continued": 2, "refitted": 2}
CONFIGURATIONS = {"8", "16"}

PREPARED = Path("data/prepared/digits")
# Of the variant that is trained again and again, because nothing but the comparison depends on it.
MODEL = Path("models/digits/extras/penalized.keras")
RESULTS = Path("results/train/digits/extras/penalized")
RESULT_FILES = ("history.csv", "metrics.json", "curves.png")
# Of the run that trained or searched, and of no run that `sync` makes.
COSTS = {"wall_seconds", "peak_memory_mib", "configurations_done"}

# Epochs of a millisecond or more.
LONG_TRAINING = 100_000

# Seconds.
LIMIT = 900


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
        """What `dvc repro` would run because of what."""
        return dict(json.loads(self.dvc("status", "--json")))

    def repro(self, *arguments: str) -> set[str]:
        """The stages that ran."""
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
        folders = [self.root / name for name in ("data", "models", "predictions", "results")]
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
    ran: set[str]
    untracked: set[str]
    second_repro: set[str]
    second_repro_seconds: float


def ran(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def curve(client: MlflowClient, run: Run, name: str) -> list[tuple[int, float]]:
    points = client.get_metric_history(run.info.run_id, name)
    return sorted((point.step, point.value) for point in points)


def files_of(client: MlflowClient, run: Run, folder: str) -> set[str]:
    return {Path(item.path).name for item in client.list_artifacts(run.info.run_id, folder)}


def clean_environment(folder: Path) -> dict[str, str]:
    """No settings of the user or of other tests, the Python of these tests, and caches below `folder`."""
    foreign = ("MLFLOW_", "DVC_", "PIPELINE_", "GIT_", "KERAS_", "JAX_", "DATASET_MIRROR")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    temporary = folder / "tmp"
    temporary.mkdir()
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
            shutil.copy2(source, root / name)
    params_files.copy(PARAMS, root)
    study = Study(root, environment)
    study.git("init", "--quiet", "--initial-branch", "main")
    study.commit()
    return study


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("study")
    study = make_study(folder / "a study", Path(__file__).parents[1], clean_environment(folder))
    stages = study.repro()
    untracked = set(study.git("status", "--porcelain").splitlines())
    study.commit()
    start = time.monotonic()
    again = study.repro()
    return Built(study, stages, untracked, again, time.monotonic() - start)


Scenario = Callable[[Study], Any]
SCENARIOS: dict[str, Scenario] = {}


def scenario(work: Scenario) -> Any:
    """A fixture: what `work` returns after it ran on a copy of the study."""
    SCENARIOS[work.__name__] = work

    def outcome(outcomes: dict[str, Future[Any]]) -> Any:
        return outcomes[work.__name__].result()

    return pytest.fixture(scope="session", name=work.__name__)(outcome)


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Any]]]:
    """The scenarios that the selected tests ask for, two at a time."""
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            name: pool.submit(work, built.study.copy(tmp_path_factory.mktemp(name) / "a study"))
            for name, work in SCENARIOS.items()
            if name in asked
        }
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def study(built: Built, tmp_path: Path) -> Study:
    """A copy to change."""
    return built.study.copy(tmp_path / "a study")


# The study as built.


def test_one_repro_runs_every_stage(built: Built) -> None:
    assert built.ran == STAGES
    assert set(built.study.dvc("stage", "list", "--all", "--name-only").split()) == STAGES


def test_repro_leaves_nothing_but_the_lock_file_and_results_to_git(built: Built) -> None:
    assert built.untracked == {"?? dvc.lock", "?? results/"}
    tracked = built.study.git("ls-files", "results").splitlines()
    assert {Path(name).suffix for name in tracked} == {".csv", ".json", ".png"}
    leftovers = [path for path in built.study.root.rglob(".*.tmp") if "cache" not in path.parts]
    assert leftovers == []


def test_second_repro_runs_nothing_and_is_quick(built: Built) -> None:
    assert built.study.status() == {}
    assert built.second_repro == set()
    assert built.second_repro_seconds < 20
    assert built.study.git("status", "--porcelain") == ""


def test_table_of_all_variants_has_a_row_per_study_and_variant(built: Built) -> None:
    rows = built.study.table("results/variants.csv")
    assert ",".join(rows[0]) == (
        "variant,study,dataset,family,params,epochs,best_epoch,val_loss,val_accuracy,test_loss,test_accuracy,"
        "test_accuracy_low,test_accuracy_high,reported_test_accuracy,difference"
    )
    expected = {(study, variant) for study, variants in VARIANTS_OF_STUDY.items() for variant in variants}
    assert len(rows) == len(expected)
    assert {(row["study"], row["variant"]) for row in rows} == expected
    for row in rows:
        assert (row["dataset"], row["family"], int(row["epochs"])) == ("digits", "mlp", EPOCHS[row["variant"]])
        assert float(row["test_accuracy_low"]) < float(row["test_accuracy"]) < float(row["test_accuracy_high"])
        # What the sources report is not about this data.
        assert row["reported_test_accuracy"] == row["difference"] == ""


def test_shared_variant_is_trained_once_and_has_the_same_figures_in_both_studies(built: Built) -> None:
    first, second = (
        {key: value for key, value in row.items() if key != "study"}
        for row in built.study.table("results/variants.csv")
        if row["variant"] == "shared"
    )
    assert first == second
    assert len(list(built.study.root.glob("models/**/shared.keras"))) == 1
    assert len(list(built.study.root.glob("predictions/*/shared.npz"))) == 2


def test_dag_leads_from_fetch_to_register(built: Built) -> None:
    edges = set(re.findall(r'"([^"]+)" -> "([^"]+)"', built.study.dvc("dag", "--dot")))
    assert edges >= {
        ("fetch@digits", "prepare@digits"),
        ("prepare@digits", "train@penalized"),
        ("train@shared", "warm_start@continued"),
        ("warm_start@continued", "evaluate@basics"),
        ("train@shared", "evaluate@extras"),
        ("evaluate@basics", "compare@basics"),
        ("evaluate@extras", "summarize"),
        ("train@penalized", "register@digit-classifier"),
        ("prepare@digits", "search@widths"),
        ("search@widths", "derive@refitted"),
        ("derive@refitted", "evaluate@extras"),
        ("search@widths", "tabulate"),
    }
    # The choice must not depend on test figures.
    assert not [source for source, target in edges if target.startswith("register") and "evaluate" in source]


def test_metrics_show_lists_training_and_evaluation(built: Built) -> None:
    metrics = json.loads(built.study.dvc("metrics", "show", "--json"))[""]["data"]
    assert metrics.keys() == {
        *(f"results/evaluate/{study}/metrics.json" for study in VARIANTS_OF_STUDY),
        *(f"results/train/digits/basics/{variant}/metrics.json" for variant in VARIANTS_OF_STUDY["basics"]),
        "results/train/digits/extras/penalized/metrics.json",
        "results/train/digits/extras/refitted/metrics.json",
    }
    for study, variants in VARIANTS_OF_STUDY.items():
        scores = metrics[f"results/evaluate/{study}/metrics.json"]["data"]
        assert scores.keys() == variants
        # Every test example is scored.
        assert {score["num_examples"] for score in scores.values()} == {100}


def test_plots_show_writes_a_page_with_curves_and_pictures(built: Built, tmp_path: Path) -> None:
    built.study.dvc("plots", "show", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page" / "index.html").read_text()
    assert f"{RESULTS}/history.csv" in page
    pictures = {path.name for path in (tmp_path / "page" / "static").iterdir()}
    assert "workspace_results_data_digits_examples.png" in pictures
    assert "workspace_results_train_digits_extras_penalized_curves.png" in pictures
    assert "workspace_results_compare_basics_validation_accuracy_top5.png" in pictures


# What an edit of the parameters makes DVC run again.


def test_editing_a_variant_trains_that_one_alone(study: Study) -> None:
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = 3
    status = study.status()
    assert status.keys() == {"train@penalized"}
    assert status["train@penalized"] == [{"changed deps": {"params.yaml": {"variants.penalized": "modified"}}}]
    diff = json.loads(study.dvc("params", "diff", "--json"))
    assert diff == {"params.yaml": {"variants.penalized.epochs": {"old": 1, "new": 3, "diff": 2}}}


def reordered(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: mapping[name] for name in reversed(list(mapping))}


def test_reordering_variants_trains_none(study: Study) -> None:
    with study.params() as params:
        params["variants"] = reordered(params["variants"])
        params["variants"]["shared"] = reordered(params["variants"]["shared"])
    assert study.status() == {}


def test_reordering_the_list_of_a_study_trains_none(study: Study) -> None:
    with study.params() as params:
        params["studies"]["extras"]["variants"] = ["refitted", "penalized", "shared"]
    assert study.status().keys() == AFTER_EXTRAS


def test_deleting_a_variant_makes_anew_what_is_told_of_its_study(study: Study) -> None:
    with study.params() as params:
        del params["variants"]["penalized"]
        params["studies"]["extras"]["variants"].remove("penalized")
    assert study.status().keys() == AFTER_EXTRAS


@pytest.mark.parametrize(
    ("section", "item", "key", "value", "expected"),
    [
        ("tasks", "digit-classifier", "tolerance", 0.5, {"register@digit-classifier"}),
        ("studies", "extras", "title", "More", {"compare@extras", "summarize", "register@digit-classifier"}),
        ("datasets", "digits", "title", "Figures", {"prepare@digits", "summarize", "tabulate"}),
        ("datasets", "digits", "example", 4, {"prepare@digits", "summarize", "tabulate"}),
        ("searches", "widths", "epochs", 3, {"search@widths", "tabulate"}),
    ],
)
def test_editing_a_threshold_or_a_title_trains_nothing(
    study: Study, section: str, item: str, key: str, value: object, expected: set[str]
) -> None:
    with study.params() as params:
        params[section][item][key] = value
    assert study.status().keys() == expected


@dataclass(frozen=True)
class Restored:
    checked_out: dict[str, str]
    ran_after_checkout: set[str]
    ran_without_checkout: set[str]
    content: dict[str, str]
    changes: str


@scenario
def restored(study: Study) -> Restored:
    """Lose outputs that DVC keeps, twice."""
    for name in ("data", "models", "predictions"):
        shutil.rmtree(study.root / name)
    study.dvc("checkout")
    checked_out, after_checkout = study.content(), study.repro()
    # Without the prepared data DVC would run `prepare` too, whose other outputs are kept by Git.
    for name in ("data/raw", "models"):
        shutil.rmtree(study.root / name)
    without_checkout = study.repro()
    return Restored(checked_out, after_checkout, without_checkout, study.content(), study.git("status", "--porcelain"))


def test_lost_outputs_come_back_without_training(built: Built, restored: Restored) -> None:
    assert restored.checked_out == restored.content == built.study.content()
    assert restored.ran_after_checkout == restored.ran_without_checkout == set()
    assert restored.changes == ""


@dataclass(frozen=True)
class Edited:
    study: Study
    ran: set[str]
    status: dict[str, Any]


@scenario
def edited(study: Study) -> Edited:
    """Take one variant out and put another in before the rest."""
    with study.params() as params:
        del params["warm_started"]["continued"]
        params["studies"]["basics"]["variants"].remove("continued")
        params["studies"]["extras"]["variants"].insert(0, "added")
        added = {**params["variants"]["penalized"], "batch_size": 32}
        params["variants"] = {"added": added, **params["variants"]}
    return Edited(study, study.repro(), study.status())


def test_adding_a_variant_trains_that_one_alone(edited: Edited) -> None:
    assert edited.ran == {"train@added", *AFTER_TRAINING}
    assert edited.status == {}


def test_removed_variant_is_in_no_table(edited: Edited) -> None:
    study = edited.study
    assert {row["variant"] for row in study.table("results/compare/basics/ranking.csv")} == {"shared"}
    assert json.loads((study.root / "results/evaluate/basics/metrics.json").read_text()).keys() == {"shared"}
    expected = {"added", "shared", "penalized", "refitted"}
    assert {row["variant"] for row in study.table("results/compare/extras/ranking.csv")} == expected
    assert {row["variant"] for row in study.table("results/variants.csv")} == expected
    selection = json.loads((study.root / "results/select/digit-classifier.json").read_text())
    assert {candidate["variant"] for candidate in selection["candidates"]} == expected


def test_copied_workspace_writes_into_its_own_store(edited: Edited) -> None:
    # MLflow stores absolute paths, which pointed to the original.
    locations = {run.info.artifact_uri for _, run in edited.study.runs()}
    assert {location.startswith(f"{edited.study.root}/mlartifacts/demo/") for location in locations} == {True}


@dataclass(frozen=True)
class Cloned:
    pulled: dict[str, Any]
    ran: set[str]
    content: dict[str, str]
    syncs: list[str]
    study: Study


@scenario
def cloned(study: Study) -> Cloned:
    """Give the study to a colleague by Git and a DVC remote, who has no MLflow database and no runs yet."""
    remote = study.root.parent / "remote"
    study.dvc("remote", "add", "--local", "--default", "there", str(remote))
    study.dvc("push")
    clone = Study(study.root.parent / "clone", study.environment)
    study.git("clone", "--quiet", ".", str(clone.root))
    clone.dvc("remote", "add", "--local", "--default", "there", str(remote))
    clone.dvc("pull")
    pulled, stages = clone.status(), clone.repro()
    return Cloned(pulled, stages, clone.content(), [clone.sync(), clone.sync()], clone)


def test_clone_needs_to_run_nothing(built: Built, cloned: Cloned) -> None:
    assert cloned.pulled == {}
    assert cloned.ran == set()
    assert cloned.content == built.study.content()


def summary(study: Study) -> dict[tuple[str, str], dict[str, Any]]:
    """All that MLflow shows of finished runs, without ids, times and what training cost."""
    client = study.client()
    return {
        (experiment, str(run.info.run_name)): {
            "status": run.info.status,
            "key": run.data.tags["content_key"],
            "params": run.data.params,
            "metrics": {name: value for name, value in run.data.metrics.items() if name not in COSTS},
            "curve": curve(client, run, "val_accuracy"),
            "files": {
                folder.path: files_of(client, run, folder.path) for folder in client.list_artifacts(run.info.run_id)
            },
            "datasets": {(item.dataset.name, item.dataset.digest) for item in run.inputs.dataset_inputs},
            "num_models": len(run.outputs.model_outputs) if run.outputs else 0,
        }
        for experiment, run in study.runs("attributes.status = 'FINISHED'")
    }


def test_sync_makes_mlflow_anew_and_changes_nothing_the_second_time(built: Built, cloned: Cloned) -> None:
    first, second = cloned.syncs
    expected = summary(built.study)
    # The registered model is one more; a search counts as one with its configurations.
    num_items = len(expected) + 1 - len(CONFIGURATIONS)
    assert first.startswith(f"{num_items} created, 0 repaired, 0 unchanged, 0 skipped")
    assert second.startswith(f"0 created, 0 repaired, {num_items} unchanged, 0 skipped")
    assert "0 removed, 0 closed" in second
    assert summary(cloned.study) == expected
    assert len(cloned.study.runs()) == len(expected)
    assert aliases(cloned.study) == aliases(built.study)


# What MLflow shows.


def aliases(study: Study) -> dict[str, dict[str, str]]:
    """By registered model and alias: the variant of the version."""
    client = study.client()
    return {
        model.name: {
            alias: client.get_model_version(model.name, str(version)).tags["variant"]
            for alias, version in model.aliases.items()
        }
        for model in client.search_registered_models()
    }


def shown(study: Study) -> dict[str, Any]:
    """All that MLflow shows, the bytes of pictures, tables and models included."""
    return {"runs": summary(study), "files": artifacts(study), "versions": versions(study), "aliases": aliases(study)}


def artifacts(study: Study) -> dict[tuple[str, str], dict[str, str]]:
    """The hash of every file of every run, but for decisions, which have times, and of the Keras file of its model."""
    client = study.client()
    return {
        (experiment, str(run.info.run_name)): {
            path.name: sha256(path.read_bytes()).hexdigest()
            for folder in (run.info.artifact_uri, *(model.artifact_location for model in models_of(client, run)))
            for path in Path(folder).rglob("*")
            if path.suffix in {".png", ".csv", ".json", ".keras"}
            and "example" not in path.name
            and path.parent.name != "decisions"
        }
        for experiment, run in study.runs()
    }


def models_of(client: MlflowClient, run: Run) -> list[Any]:
    return [client.get_logged_model(item.model_id) for item in (run.outputs.model_outputs if run.outputs else [])]


def versions(study: Study) -> list[tuple[str, str, str]]:
    """Registered model, variant and content of every version, without its number: a database made anew begins at 1."""
    client = study.client()
    return sorted(
        (version.name, version.tags["variant"], version.tags["content_key"])
        for model in client.search_registered_models()
        for version in client.search_model_versions(f"name = '{model.name}'")
    )


@dataclass(frozen=True)
class ThrownAway:
    before: dict[str, Any]
    after: dict[str, Any]
    second_sync: str
    files: set[str]


@scenario
def thrown_away(study: Study) -> ThrownAway:
    """Delete MLflow's database and all its files."""
    study.sync()
    before = shown(study)
    (study.root / "mlflow.db").unlink()
    shutil.rmtree(study.root / "mlartifacts")
    # MLflow keeps a database open in this process as long as it lives, by its path.
    emptied = Study(study.root.rename(study.root.with_name("emptied")), study.environment)
    emptied.sync()
    changes = set(emptied.git("status", "--porcelain").splitlines())
    return ThrownAway(before, shown(emptied), emptied.sync(), changes)


def test_what_was_thrown_away_of_mlflow_comes_back_to_the_byte(thrown_away: ThrownAway) -> None:
    assert thrown_away.after == thrown_away.before
    assert all(thrown_away.after.values())
    assert thrown_away.second_sync.startswith("0 created, 0 repaired")
    assert "0 removed, 0 closed" in thrown_away.second_sync
    assert thrown_away.files == set()


@dataclass(frozen=True)
class Served:
    ran: set[str]
    content: dict[str, str]
    runs_before_sync: int
    shown: dict[str, Any]


@scenario
def served_from_cache(study: Study) -> Served:
    """Clone the study where its cache is at hand, and reproduce it without `dvc pull`."""
    clone = Study(study.root.parent / "clone", study.environment)
    study.git("clone", "--quiet", ".", str(clone.root))
    clone.dvc("cache", "dir", "--local", str(study.root / ".dvc" / "cache"))
    stages = clone.repro()
    num_runs = len(clone.runs()) if (clone.root / "mlflow.db").exists() else 0
    clone.sync()
    return Served(stages, clone.content(), num_runs, shown(clone))


def test_repro_from_the_cache_trains_nothing_and_sync_makes_mlflow_complete(
    built: Built, served_from_cache: Served
) -> None:
    # Without `dvc checkout` DVC runs again what also declares outputs that Git keeps, other than metrics and plots.
    assert served_from_cache.ran <= {"prepare@digits", "evaluate@basics", "evaluate@extras"}
    assert served_from_cache.content == built.study.content()
    # The stages that DVC takes from its cache are not started, so they cannot record anything.
    assert served_from_cache.runs_before_sync < len(built.study.runs())
    assert served_from_cache.shown == shown(built.study)


@dataclass(frozen=True)
class Switched:
    ran: set[str]
    changes: list[str]
    runs: list[tuple[str, str, str]]
    challengers: list[str | None]
    versions: list[tuple[str, str, str]]


BRANCHES = ("main", "other", "main", "other", "main")


@scenario
def switched(study: Study) -> Switched:
    """Train a variant otherwise on a branch, and switch back and forth."""
    study.git("switch", "--quiet", "--create", "other")
    with study.params() as params:
        params["variants"]["penalized"]["batch_size"] = 32
    stages = study.repro()
    study.commit()
    changes, challengers = [], []
    for branch in BRANCHES:
        study.git("switch", "--quiet", branch)
        study.dvc("checkout")
        changes.append(study.sync())
        challengers.append(aliases(study)["demo-digit-classifier"].get("challenger"))
    runs = [(experiment, str(run.info.run_name), run.data.tags["content_key"]) for experiment, run in study.runs()]
    return Switched(stages, changes, runs, challengers, versions(study))


def test_a_variant_trained_otherwise_makes_anew_what_is_told_of_the_studies_that_list_it(switched: Switched) -> None:
    assert switched.ran == {"train@penalized", *AFTER_EXTRAS}


def test_switching_branches_makes_no_duplicates(built: Built, switched: Switched) -> None:
    assert len(switched.runs) == len(set(switched.runs))
    # The variant of either branch, and the tables that it is in.
    assert {key for _, name, key in switched.runs if name == "penalized"} > {
        run.data.tags["content_key"] for _, run in built.study.runs() if run.info.run_name == "penalized"
    }
    assert len([name for _, name, _ in switched.runs if name == "penalized"]) == 2
    assert len(switched.versions) == len(set(switched.versions))
    # Who was on a branch before has all there is; only the challenger may move.
    assert {change.split(",")[0] for change in switched.changes} == {"0 created"}
    assert {"0 removed" in change for change in switched.changes} == {True}
    for branch in ("main", "other"):
        there = {item for item, at in zip(switched.challengers, BRANCHES, strict=True) if at == branch}
        assert len(there) == 1


def test_runs_tell_the_outputs_of_their_stage_as_dvc_hashes_them(built: Built) -> None:
    told = [
        (run.data.tags.get("dvc_stage"), json.loads(run.data.tags.get("dvc_outputs", "{}")))
        for _, run in built.study.runs()
    ]
    lock = dvc_lock.read(built.study.root)
    for address, stage in lock.items():
        # The weights of a derived variant are described in its own runs.
        holder = address.replace("kernels@", "derive@")
        outputs = [found for where, found in told if where == holder and found]
        assert outputs, address
        assert all(stage.outputs.items() <= found.items() for found in outputs), address


def test_champion_leads_to_the_commit_that_makes_it_again(built: Built) -> None:
    traced = lineage.trace(Workspace(built.study.root), "models:/demo-digit-classifier@champion")
    assert isinstance(traced, lineage.Origin)
    head = built.study.git("rev-parse", "HEAD").strip()
    assert traced.commands[0] == f"git checkout {head} && dvc repro {traced.run.stage}"
    # What the stage was made of, and the arrays in it.
    assert str(PREPARED / "train.npz") in traced.inputs
    assert "digits-train" in traced.run.datasets
    onwards = lineage.trace(Workspace(built.study.root), traced.inputs[str(PREPARED / "train.npz")])
    assert isinstance(onwards, lineage.Descent)
    assert traced.run.run_id in {run.run_id for run in onwards.runs}
    assert [version.version for version in onwards.versions] == [1]


@scenario
def verified(study: Study) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run some stages again in a clean copy, where the workspace has lost what they need."""
    shutil.rmtree(study.root / "models")
    command = (sys.executable, "-m", "pipeline", "verify", *VERIFIED)
    return study.run(*command, check=False, COLUMNS="200"), study.git("status", "--porcelain")


# Of these, `register` and `kernels` read models that they do not depend on, to show them in MLflow.
VERIFIED = ("search", "train@penalized", "kernels", "register")


def test_stages_verify_in_a_clean_copy(verified: tuple[subprocess.CompletedProcess[str], str]) -> None:
    result, changes = verified
    assert (result.returncode, result.stderr, changes) == (0, "", "")
    assert len(re.findall(r"\bsame\b", result.stdout)) == len(VERIFIED)


def test_mlflow_has_one_finished_run_per_stage_and_study(built: Built) -> None:
    names = sorted((experiment, run.info.run_name) for experiment, run in built.study.runs())
    variants = [(f"demo/{study}", variant) for study, variants in VARIANTS_OF_STUDY.items() for variant in variants]
    stages = [(f"demo/{study}", f"{stage}@{study}") for study in VARIANTS_OF_STUDY for stage in ("evaluate", "compare")]
    others = [
        ("demo/data", "fetch@digits"),
        ("demo/data", "prepare@digits"),
        ("demo/model-selection", "register@digit-classifier"),
        ("demo/summary", "summarize"),
        ("demo/summary", "tabulate"),
        ("demo/extras", "search: widths"),
        *(("demo/extras", units) for units in CONFIGURATIONS),
    ]
    assert names == sorted([*variants, *stages, *others])
    assert {run.info.status for _, run in built.study.runs()} == {"FINISHED"}


def test_run_of_a_variant_holds_all_that_is_known_of_it(built: Built) -> None:
    client = built.study.client()
    rows = {(row["study"], row["variant"]): row for row in built.study.table("results/variants.csv")}
    statistics = json.loads((built.study.root / "results/data/digits/statistics.json").read_text())
    variants = [(name, run) for name, run in built.study.runs() if "variant" in run.data.tags]
    assert len(variants) == len(rows)
    for experiment, run in variants:
        variant, tags = run.data.tags["variant"], run.data.tags
        row = rows[tags["study"], variant]
        assert (experiment, run.info.run_name) == (f"demo/{row['study']}", variant)
        assert (tags["dataset"], tags["data"]) == ("digits", "embedded")
        assert run.data.params["epochs"] == str(EPOCHS[variant])
        assert run.data.params["parameters.total"] == row["params"]
        for name in ("val_loss", "val_accuracy", "test_loss", "test_accuracy", "test_accuracy_low"):
            assert run.data.metrics[name] == float(row[name])
        assert [step for step, _ in curve(client, run, "val_accuracy")] == list(range(1, EPOCHS[variant] + 1))
        assert "curves.png" in files_of(client, run, "training")
        assert "confusion_matrix.png" in files_of(client, run, "evaluation")
        digests = {item.dataset.name: item.dataset.digest for item in run.inputs.dataset_inputs}
        assert digests.keys() == {"digits-train", "digits-validation", "digits-test"}
        for name, digest in digests.items():
            # Of the 64 characters MLflow keeps 36.
            assert statistics["sha256"][name.removeprefix("digits-")].startswith(digest)
            assert len(digest) == 36
        (model,) = run.outputs.model_outputs
        assert client.get_logged_model(model.model_id).status.name == "READY"


def test_selected_variant_is_champion(built: Built) -> None:
    selection = json.loads((built.study.root / "results/select/digit-classifier.json").read_text())
    accuracies = {row["variant"]: float(row["val_accuracy"]) for row in built.study.table("results/variants.csv")}
    selected = selection["selected"]
    assert accuracies[selected] == max(accuracies.values())
    assert aliases(built.study) == {"demo-digit-classifier": {"champion": selected}}


PREDICT = """
import sys
import mlflow
import numpy as np
data, predictions = np.load(sys.argv[1]), np.load(sys.argv[2])
model = mlflow.pyfunc.load_model("models:/demo-digit-classifier@champion")
np.testing.assert_allclose(model.predict(data["images"]), predictions["probabilities"], atol=1e-5)
print(len(data["images"]), "alike")
"""


@scenario
def served(study: Study) -> str:
    """Load the champion as a client would, knowing nothing of this project."""
    selection = json.loads((study.root / "results/select/digit-classifier.json").read_text())
    predictions = next(study.root.glob(f"predictions/*/{selection['selected']}.npz"))
    arguments = (str(study.root / PREPARED / "test.npz"), str(predictions))
    elsewhere = Study(study.root.parent, study.environment)
    uri = f"sqlite:///{study.root / 'mlflow.db'}"
    return elsewhere.run(sys.executable, "-c", PREDICT, *arguments, MLFLOW_TRACKING_URI=uri).stdout


def test_champion_predicts_from_raw_pixels_what_was_evaluated(served: str) -> None:
    assert served == "100 alike\n"


# The test set is read by `evaluate` alone.


@dataclass(frozen=True)
class Sealed:
    forced: set[str]
    changes: str
    evaluation: subprocess.CompletedProcess[str]
    selection: str


@scenario
def sealed(study: Study) -> Sealed:
    """Run stages again without the test images; then with the test figures turned around."""
    (study.root / PREPARED / "test.npz").write_bytes(b"not to be read")
    forced = study.repro("--force", "--single-item", *WITHOUT_TEST_SET)
    changes = study.git("diff", "--stat")
    evaluation = study.stage("evaluate", "extras")
    for path in study.root.glob("results/evaluate/*/metrics.json"):
        scores = json.loads(path.read_text())
        for score in scores.values():
            score["accuracy"] = 1 - score["accuracy"]
        path.write_text(json.dumps(scores))
    study.repro("--force", "--single-item", "register@digit-classifier")
    return Sealed(forced, changes, evaluation, study.git("diff", "--stat", "results/select"))


WITHOUT_TEST_SET = {
    "train@shared",
    "warm_start@continued",
    "search@widths",
    "derive@refitted",
    "kernels@refitted",
    "compare@extras",
    "summarize",
    "tabulate",
    "register@digit-classifier",
}


def test_no_stage_but_evaluate_reads_the_test_set(sealed: Sealed) -> None:
    assert sealed.forced == WITHOUT_TEST_SET
    # Neither in dvc.lock, which has the hash of every output, nor in the results.
    assert sealed.changes == ""
    assert sealed.evaluation.returncode == 1
    assert str(PREPARED / "test.npz") in sealed.evaluation.stderr


def test_test_figures_do_not_change_the_selection(sealed: Sealed) -> None:
    assert sealed.selection == ""


@dataclass(frozen=True)
class Forced:
    ran: set[str]
    changes: str


@scenario
def forced(study: Study) -> Forced:
    """Run again the stages that `sealed` does not."""
    return Forced(study.repro("--force", "--single-item", *WITH_TEST_SET), study.git("diff", "--stat"))


WITH_TEST_SET = ("fetch@digits", "prepare@digits", "evaluate@extras")


def test_stages_that_run_again_give_the_same_bytes(forced: Forced) -> None:
    assert forced.ran == set(WITH_TEST_SET)
    assert forced.changes == ""


# Failures.


@dataclass(frozen=True)
class Broken:
    unreadable: subprocess.CompletedProcess[str]
    unwritable: subprocess.CompletedProcess[str]
    before: dict[str, str]
    after: dict[str, str]
    study: Study


@scenario
def broken(study: Study) -> Broken:
    """Train on a corrupt file, then where the results cannot be written."""
    before = study.content()
    path = study.root / PREPARED / "train.npz"
    kept = path.read_bytes()
    path.write_bytes(kept[: len(kept) // 2])
    unreadable = study.stage("train", "penalized")
    path.write_bytes(kept)
    shutil.rmtree(study.root / RESULTS)
    (study.root / RESULTS).write_text("in the way")
    unwritable = study.stage("train", "penalized")
    return Broken(unreadable, unwritable, before, study.content(), study)


def test_corrupt_input_is_named_and_changes_nothing(broken: Broken) -> None:
    assert broken.unreadable.returncode == 1
    assert re.fullmatch(rf"error: .*{PREPARED}/train.npz: expected a NumPy archive.*\n", broken.unreadable.stderr)


def test_failed_training_leaves_other_outputs_alone_and_no_running_run(broken: Broken) -> None:
    assert broken.unwritable.returncode == 1
    assert str(RESULTS) in broken.unwritable.stderr
    assert "Traceback" not in broken.unwritable.stderr
    changed = {name for name in broken.before | broken.after if broken.before.get(name) != broken.after.get(name)}
    assert changed <= {str(RESULTS), *(f"{RESULTS}/{name}" for name in RESULT_FILES)}
    assert [run.info.status for _, run in broken.study.runs("attributes.status != 'FINISHED'")] == ["FAILED"]


@dataclass
class Killed:
    study: Study
    exit_codes: dict[str, int] = field(default_factory=dict)
    output: str = ""
    left_alive: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    ran_afterwards: set[str] = field(default_factory=set)
    epochs_afterwards: int = 0


@scenario
def killed(study: Study) -> Killed:
    """End a long training in more than one way, then have a short one."""
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = LONG_TRAINING
    outcome = Killed(study)
    for how in ("Ctrl-C", "SIGTERM"):
        with training(study, "penalized") as (repro, trainer):
            if how == "Ctrl-C":
                os.killpg(repro.pid, signal.SIGINT)
            else:
                terminate_again_and_again(trainer)
            outcome.exit_codes[how] = repro.wait(LIMIT)
            _, alive = psutil.wait_procs([trainer], timeout=60)
        outcome.output += (study.root.parent / "repro.log").read_text()
        outcome.left_alive += [how for _ in alive]
        outcome.left_behind += [
            f"{how}: {path}"
            for path in (MODEL, *(RESULTS / name for name in RESULT_FILES))
            if (study.root / path).exists()
        ]
    outcome.statuses = [run.info.status for _, run in study.runs("attributes.status != 'FINISHED'")]
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = 2
    outcome.ran_afterwards = study.repro("train@penalized")
    outcome.epochs_afterwards = len(study.table(str(RESULTS / "history.csv")))
    return outcome


def terminate_again_and_again(process: psutil.Process) -> None:
    """As when DVC and its stages are ended together: a stage gets a signal from that, and others from DVC's death.

    The first one starts the cleaning up, which the others must not stop.
    """
    deadline = time.monotonic() + LIMIT
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and time.monotonic() < deadline:
            process.terminate()
            time.sleep(0.01)


# Whoever runs the tests in the background has Ctrl-C ignored, and so would all that they start.
DVC_THAT_HEARS_CTRL_C = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from dvc.cli import main
sys.exit(main())
"""


@contextlib.contextmanager
def training(study: Study, variant: str) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """`dvc repro` in the middle of training a variant: itself, and the stage."""
    command = (sys.executable, "-c", DVC_THAT_HEARS_CTRL_C, "repro", f"train@{variant}")
    with (study.root.parent / "repro.log").open("wb") as log:
        repro = subprocess.Popen(
            command, cwd=study.root, env=study.environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + LIMIT
        while not any(run.data.metrics for _, run in study.runs("attributes.status = 'RUNNING'")):
            if repro.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not train:\n{(study.root.parent / 'repro.log').read_text()}")
            time.sleep(0.5)
        children = psutil.Process(repro.pid).children(recursive=True)
        (trainer,) = [child for child in children if child.cmdline()[1:4] == ["-m", "pipeline.stages", "train"]]
        yield repro, trainer
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(repro.pid, signal.SIGKILL)
        repro.wait()


def test_killed_training_leaves_no_process_no_output_and_no_running_run(killed: Killed) -> None:
    assert 0 not in killed.exit_codes.values()
    assert "Traceback" not in killed.output
    assert killed.left_alive == []
    assert killed.left_behind == []
    assert killed.statuses == ["KILLED"] * len(killed.exit_codes)


def test_repro_goes_on_after_a_kill(killed: Killed) -> None:
    assert killed.ran_afterwards == {"train@penalized"}
    assert killed.epochs_afterwards == 2


@dataclass(frozen=True)
class Unreachable:
    uri: str
    training: subprocess.CompletedProcess[str]
    sync: str
    study: Study


@scenario
def unreachable(study: Study) -> Unreachable:
    """Train while the tracking server is away, and catch up later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = 3
    result = study.stage("train", "penalized", MLFLOW_TRACKING_URI=uri)
    return Unreachable(uri, result, study.sync(), study)


def test_training_outlives_an_unreachable_server(unreachable: Unreachable) -> None:
    assert unreachable.training.returncode == 0
    assert f"WARNING: MLflow at {unreachable.uri} could not be reached" in unreachable.training.stderr
    assert "python -m pipeline sync" in unreachable.training.stderr
    assert len(unreachable.study.table(str(RESULTS / "history.csv"))) == 3


def test_sync_publishes_what_was_trained_without_a_server(unreachable: Unreachable) -> None:
    assert unreachable.sync.startswith("1 created, 0 repaired")
    runs = [run for _, run in unreachable.study.runs() if run.info.run_name == "penalized"]
    assert {run.data.params["epochs"]: len(curve(unreachable.study.client(), run, "loss")) for run in runs} == {
        "1": 1,
        "3": 3,
    }


# Faults: kills, disks, damage, and two at once.

KILLED_STEPS = ("train@penalized", "search@widths", "evaluate@extras", "register@digit-classifier", "sync")
KILLS = ("SIGKILL to all", "Ctrl-C", "SIGKILL to the first", "Ctrl-C")

SYNC_THAT_HEARS_CTRL_C = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipeline.cli import app
app(["sync"])
"""


@dataclass
class Shot:
    """`seen` is what MLflow shows when the stages have been killed and run again, and when sync has been, too."""

    study: Study
    kills: list[tuple[str, str]] = field(default_factory=list)
    seen: list[dict[tuple[str, str], dict[str, Any]]] = field(default_factory=list)
    statuses: list[Counter[str]] = field(default_factory=list)
    last_sync: str = ""


@scenario
def shot(study: Study) -> Shot:
    """Kill every kind of work at random moments, twenty times in a row, and let it run to its end after each four."""
    rng = random.Random(20)
    outcome = Shot(study)
    # Nearly all of its time goes into imports, as with the others.
    seconds = finish(study, KILLED_STEPS[0])
    for step in KILLED_STEPS:
        if step == "sync":
            look(outcome)
            (study.root / "mlflow.db").unlink()
            shutil.rmtree(study.root / "mlartifacts")
            # MLflow keeps a database open in this process as long as it lives, by its path.
            study = outcome.study = Study(study.root.rename(study.root.with_name("shot")), study.environment)
        for how in KILLS:
            while (ended := kill(study, step, how, after=rng.uniform(0.0, seconds))) is not None:
                # It was quicker than the one before.
                seconds = ended
            outcome.kills.append((step, how))
        seconds = finish(study, step)
    outcome.last_sync = study.sync()
    look(outcome)
    return outcome


def look(outcome: Shot) -> None:
    outcome.seen.append(summary(outcome.study))
    outcome.statuses.append(Counter(run.info.status for _, run in outcome.study.runs()))


def command_of(step: str) -> tuple[str, ...]:
    if step == "sync":
        return (sys.executable, "-c", SYNC_THAT_HEARS_CTRL_C)
    return (sys.executable, "-c", DVC_THAT_HEARS_CTRL_C, "repro", "--force", "--single-item", step)


def finish(study: Study, step: str) -> float:
    """Run a step to its end; the seconds that it took."""
    start = time.monotonic()
    study.run(*command_of(step))
    return time.monotonic() - start


def kill(study: Study, step: str, how: str, *, after: float) -> float | None:
    """Start a step and end it after some seconds, with all that it started.

    Returns None, or the seconds that it took if it was over before.
    """
    start = time.monotonic()
    with (study.root.parent / "kills.log").open("ab") as log:
        process = subprocess.Popen(
            command_of(step), cwd=study.root, env=study.environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after)
            return time.monotonic() - start
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(process.pid).children(recursive=True)
            match how:
                case "Ctrl-C":
                    os.killpg(process.pid, signal.SIGINT)
                case "SIGKILL to all":
                    os.killpg(process.pid, signal.SIGKILL)
                case _:
                    process.kill()
            process.wait(LIMIT)
            _, alive = psutil.wait_procs(started, timeout=120)
            if alive:
                raise RuntimeError(f"{how} of {step} left {alive}")
            if process.returncode != 0:
                return None
        return time.monotonic() - start
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_twenty_kills_in_a_row_lose_nothing(built: Built, shot: Shot) -> None:
    assert len(shot.kills) == 20
    assert shot.study.content() == built.study.content()
    assert shot.study.git("status", "--porcelain") == ""
    assert shot.study.status() == {}


def test_after_twenty_kills_mlflow_is_whole_and_no_run_goes_on(built: Built, shot: Shot) -> None:
    expected = summary(built.study)
    assert shot.seen == [expected] * 2
    assert set(shot.statuses[0]) <= {"FINISHED", "KILLED", "FAILED"}
    assert shot.statuses[0]["FINISHED"] == len(expected)
    # The second time the database was made anew, by a sync that was killed too.
    assert shot.statuses[1] == {"FINISHED": len(expected)}
    assert shot.last_sync.startswith("0 created, 0 repaired")
    assert aliases(shot.study) == aliases(built.study)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 64 MiB; the test is skipped where none may be mounted."""
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"full disk: mount cannot be run: {error}")
    if mounted.returncode:
        pytest.skip(f"full disk: mounting a small one is not permitted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@dataclass(frozen=True)
class Disk:
    """What a stage and sync say on a disk that is full, and on one that is read-only."""

    said: dict[str, subprocess.CompletedProcess[str]]
    kept: bool
    content: dict[str, str]
    changes: str
    sync: str
    statuses: set[str]


@scenario
def disk(study: Study) -> Disk:
    """Fill the disk of a workspace, then make it read-only, then have it as it was."""
    with small_disk(study.root.parent / "disk") as folder:
        there = study.copy(folder / "a study")
        before = there.content()
        said = {}
        with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(1 << 12))
        said["full train"] = there.stage("train", "penalized")
        said["full sync"] = there.run(*command_of("sync"), check=False)
        (folder / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        said["read-only train"] = there.stage("train", "penalized")
        said["read-only sync"] = there.run(*command_of("sync"), check=False)
        kept = there.content() == before
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        there.run(*command_of("train@penalized"))
        sync = there.sync()
        statuses = {run.info.status for _, run in there.runs()}
        return Disk(said, kept, there.content(), there.git("status", "--porcelain"), sync, statuses)


@pytest.mark.parametrize(
    ("trouble", "cause"), [("full", "No space left on device"), ("read-only", "Read-only file system")]
)
def test_a_disk_that_takes_nothing_is_named(disk: Disk, trouble: str, cause: str) -> None:
    training, sync = disk.said[f"{trouble} train"], disk.said[f"{trouble} sync"]
    assert training.returncode == 1
    assert re.search(rf"^error: .*: cannot be written: {cause}\. Nothing was left half-written", training.stderr, re.M)
    assert "free space or permissions, then run the same command again" in training.stderr
    assert sync.returncode in (0, 1)
    for said in (training, sync):
        assert "Traceback" not in said.stderr


def test_a_read_only_workspace_cannot_be_synchronized(disk: Disk) -> None:
    assert disk.said["read-only sync"].returncode == 1
    assert "Everything that was trained is kept. Free space or permissions" in disk.said["read-only sync"].stderr


def test_a_disk_that_takes_nothing_loses_nothing(built: Built, disk: Disk) -> None:
    assert disk.kept
    assert disk.content == built.study.content()
    assert disk.changes == ""
    assert "RUNNING" not in disk.statuses


@dataclass(frozen=True)
class Damaged:
    cache: set[str]
    evaluation: subprocess.CompletedProcess[str]
    comparison: subprocess.CompletedProcess[str]
    registration: subprocess.CompletedProcess[str]
    sync: subprocess.CompletedProcess[str]
    mended: set[str]
    content: dict[str, str]
    changes: str
    last_sync: str
    study: Study


@scenario
def damaged(study: Study) -> Damaged:
    """Damage a file of DVC's cache, then a model and a history, then the database of MLflow."""
    digest = md5((study.root / MODEL).read_bytes()).hexdigest()
    cached = study.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    cached.chmod(0o644)
    cached.write_bytes(cached.read_bytes()[:-1000] + bytes(1000))
    (study.root / MODEL).unlink()
    cache = study.repro("train@penalized")
    for path in (MODEL, RESULTS / "history.csv"):
        damage(study.root / path)
    evaluation, comparison = study.stage("evaluate", "extras"), study.stage("compare", "extras")
    mended = study.repro()
    damage(study.root / "mlflow.db")
    registration = study.stage("register", "digit-classifier")
    sync = study.run(*command_of("sync"), check=False)
    (study.root / "mlflow.db").rename(study.root.parent / "moved.db")
    again = study.sync()
    changes = study.git("status", "--porcelain")
    return Damaged(cache, evaluation, comparison, registration, sync, mended, study.content(), changes, again, study)


def damage(path: Path) -> None:
    """As a disk does that loses a block; what DVC has linked to its cache is not written through."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(b"\0" * 100 + content[100:])


def test_a_damaged_file_of_the_cache_is_made_again(built: Built, damaged: Damaged) -> None:
    assert damaged.cache == {"train@penalized"}
    assert damaged.content == built.study.content()
    assert damaged.changes == ""


def test_a_damaged_model_or_history_is_named_and_mended_by_repro(damaged: Damaged) -> None:
    for said, path in ((damaged.evaluation, MODEL), (damaged.comparison, RESULTS / "history.csv")):
        assert said.returncode == 1
        assert re.search(rf"^error: .*{path}: expected .*the file is damaged", said.stderr, re.M), said.stderr
        assert "Delete it, then run `dvc repro` to make it again." in said.stderr
        assert "Traceback" not in said.stderr
    assert damaged.mended <= {"train@penalized"}


def test_a_damaged_database_is_named_and_made_again(built: Built, damaged: Damaged) -> None:
    assert damaged.registration.returncode == 0
    assert damaged.sync.returncode == 1
    for said in (damaged.registration, damaged.sync):
        assert "mlflow.db, or if it is damaged move it away, then run `python -m pipeline sync`" in said.stderr
        assert "Traceback" not in said.stderr
    assert summary(damaged.study) == summary(built.study)
    assert aliases(damaged.study) == aliases(built.study)


@dataclass(frozen=True)
class Together:
    exit_codes: list[int]
    output: str
    content: dict[str, str]
    changes: str
    names: list[str | None]


@scenario
def together(study: Study) -> Together:
    """Start `dvc repro` of one stage in two terminals at once."""
    log = study.root.parent / "together.log"
    with log.open("ab") as output:
        processes = [
            subprocess.Popen(
                command_of("train@penalized"), cwd=study.root, env=study.environment, stdout=output, stderr=output
            )
            for _ in range(2)
        ]
        codes = sorted(process.wait(LIMIT) for process in processes)
    names = [run.info.run_name for _, run in study.runs()]
    return Together(codes, log.read_text(), study.content(), study.git("status", "--porcelain"), names)


def test_the_second_repro_of_a_stage_is_refused(built: Built, together: Together) -> None:
    assert together.exit_codes[0] == 0
    assert together.exit_codes[1] != 0
    assert re.search(r"is busy|Unable to acquire lock", together.output), together.output
    assert together.content == built.study.content()
    assert together.changes == ""
    assert together.names.count("penalized") == 1


# Experiments of DVC, projects of MLflow.


@dataclass(frozen=True)
class Experimented:
    study: Study
    ran: dict[str, set[str]]
    names: list[str]
    head: tuple[str, str]
    head_before: tuple[str, str]
    workspace_epochs: int


@scenario
def experimented(study: Study) -> Experimented:
    """Try other numbers of epochs, in the workspace and in a temporary folder."""

    def head() -> tuple[str, str]:
        return study.git("rev-parse", "HEAD"), study.git("show", "HEAD:dvc.lock")

    before = head()
    target = "train@penalized"
    stages = {
        "workspace": ran(study.dvc("exp", "run", "--set-param", "variants.penalized.epochs=3", target)),
        "temporary": ran(study.dvc("exp", "run", "--temp", "--set-param", "variants.penalized.epochs=4", target)),
    }
    names = study.dvc("exp", "list", "--name-only").split()
    epochs = len(study.table("results/train/digits/extras/penalized/history.csv"))
    return Experimented(study, stages, names, head(), before, epochs)


def test_experiments_train_what_they_change_and_leave_the_commit_alone(experimented: Experimented) -> None:
    assert experimented.ran == {"workspace": {"train@penalized"}, "temporary": {"train@penalized"}}
    assert len(experimented.names) == 2
    assert experimented.head == experimented.head_before
    # The temporary experiment does not touch the workspace.
    assert experimented.workspace_epochs == 3


def test_experiments_are_recorded_in_the_projects_mlflow(experimented: Experimented) -> None:
    runs = [run for _, run in experimented.study.runs() if run.info.run_name == "penalized"]
    assert sorted(run.data.params["epochs"] for run in runs) == ["1", "3", "4"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    # The temporary folder is gone by now; what the run refers to is not.
    for run in runs:
        assert "curves.png" in files_of(experimented.study.client(), run, "training")


@dataclass(frozen=True)
class Project:
    study: Study
    output: str


@scenario
def project(study: Study) -> Project:
    """`mlflow run` with a fresh store and something to train."""
    (study.root / "mlflow.db").unlink()
    shutil.rmtree(study.root / "mlartifacts")
    with study.params() as params:
        params["variants"]["penalized"]["epochs"] = 2
    command = ("mlflow", "run", ".", "--env-manager", "local", "-P", "stage=register@digit-classifier")
    return Project(study, study.run(sys.executable, "-m", *command).stdout)


def test_stages_under_mlflow_run_are_below_its_run(project: Project) -> None:
    assert ran(project.output) == {"train@penalized", "register@digit-classifier"}
    runs = [run for _, run in project.study.runs()]
    assert {run.info.status for run in runs} == {"FINISHED"}
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    selection = json.loads((project.study.root / "results" / "select" / "digit-classifier.json").read_text())
    # The fresh store lacked the run of the variant that was selected.
    expected = {"penalized", "register@digit-classifier", selection["selected"]}
    assert {run.info.run_name for run in children} == expected
    assert parent.data.tags["mlflow.project.entryPoint"] == "main"
