"""The files that make an environment agree, and git and DVC leave alone what is not the project's."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

SUPPORTED = [
    {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": system}
    for python in ("3.11", "3.12", "3.13")
    for system in ("linux", "darwin")
]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def lock_text() -> str:
    return (Path(__file__).parents[1] / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def locked(lock_text: str) -> list[Requirement]:
    lines = re.sub(r"\\\n", " ", lock_text).splitlines()
    return [Requirement(line.split("--hash")[0]) for line in lines if line and not line.lstrip().startswith("#")]


@pytest.fixture(scope="module")
def conda(lock_text: str) -> dict[str, Any]:
    return YAML(typ="safe").load(Path(__file__).parents[1] / "conda.yaml")


def direct(project: dict[str, Any], *, dev: bool) -> list[Requirement]:
    names = project["dependencies"] + (project["optional-dependencies"]["dev"] if dev else [])
    return [Requirement(name) for name in names]


def version_of(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


def test_lock_pins_every_package_once(locked: list[Requirement]) -> None:
    names = [requirement.name for requirement in locked]
    assert len(names) > 100
    assert len(set(names)) == len(names)
    assert all(version_of(requirement) for requirement in locked)


def test_lock_hashes_every_package(lock_text: str, locked: list[Requirement]) -> None:
    blocks = re.split(r"\n(?=[a-z])", lock_text)[1:]
    assert len(blocks) == len(locked)
    assert [block.split()[0] for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", block)] == []


def test_lock_holds_no_address(lock_text: str) -> None:
    """Neither of an index nor of a folder: no line needs a slash, an @ or an option besides its hashes."""
    lines = [line for line in lock_text.splitlines() if "/" in line or "@" in line]
    assert lines == []
    assert set(re.findall(r"(?<!\S)--?[a-z-]+", lock_text)) == {"--hash"}


def test_lock_has_what_pyproject_asks_for(project: dict[str, Any], locked: list[Requirement]) -> None:
    versions = {requirement.name: version_of(requirement) for requirement in locked}
    for requirement in direct(project, dev=True):
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize(
    "machine", SUPPORTED, ids=lambda machine: f"{machine['sys_platform']}-{machine['python_version']}"
)
def test_lock_serves_every_supported_machine(
    project: dict[str, Any], locked: list[Requirement], machine: dict[str, str]
) -> None:
    here = {item.name for item in locked if item.marker is None or item.marker.evaluate(machine)}
    assert {canonicalize_name(requirement.name) for requirement in direct(project, dev=True)} <= here
    assert Version(machine["python_full_version"]) in SpecifierSet(project["requires-python"])


def test_conda_environment_is_the_lock(project: dict[str, Any], conda: dict[str, Any], repository: Path) -> None:
    """The lock itself, not a copy of its pins: pip and uv then check the hashes, of the indirect packages too."""
    python, pip, packages = conda["dependencies"]
    assert packages == {"pip": ["-r requirements.lock"]}
    assert pip == "pip"
    assert Version(python.removeprefix("python=")) in SpecifierSet(project["requires-python"])
    assert YAML(typ="safe").load(repository / "MLproject")["conda_env"] == "conda.yaml"


@pytest.mark.parametrize(("folder", "dev"), [("pipeline", False), ("tests", True)])
def test_what_is_imported_is_a_direct_dependency(
    project: dict[str, Any], repository: Path, folder: str, dev: bool
) -> None:
    declared = {canonicalize_name(requirement.name) for requirement in direct(project, dev=dev)}
    providers = packages_distributions()
    # Scripts that tests start import their neighbours, and tests run others in other circumstances.
    own = {"pipeline", "benchmarks", "tests", *(path.stem for path in (repository / folder).rglob("*_trial.py"))}
    undeclared = {
        name
        for name in imported_packages(repository / folder) - set(sys.stdlib_module_names) - own
        if not declared & {canonicalize_name(provider) for provider in providers.get(name, [])}
    }
    assert undeclared == set()


def imported_packages(folder: Path) -> set[str]:
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        (None, "dvc repro -- dvc.yaml"),
        ("evaluate@fashion", "dvc repro -- evaluate@fashion"),
        ("a; touch b", "dvc repro -- 'a; touch b'"),
        ("$(touch b)", "dvc repro -- '$(touch b)'"),
    ],
)
def test_stage_of_mlflow_run_is_one_word_to_the_shell(repository: Path, stage: str | None, command: str) -> None:
    from mlflow.projects._project_spec import load_project

    entry_point = load_project(str(repository)).get_entry_point("main")
    given = {} if stage is None else {"stage": stage}
    dvc, _, sync = (
        entry_point.compute_command(given, None).replace("MLFLOW_DISABLE_TELEMETRY=true ", "").partition(" && ")
    )
    assert (dvc, sync) == (command, "python -m pipeline sync")


def test_what_mlflow_run_is_told_to_predict_is_one_word_each(repository: Path) -> None:
    from mlflow.projects._project_spec import load_project

    entry_point = load_project(str(repository)).get_entry_point("predict")
    given = {"task": "--help", "input": "my photos; touch b", "output": "$(touch c).csv"}
    assert entry_point.compute_command(given, None).removeprefix("MLFLOW_DISABLE_TELEMETRY=true ") == (
        "python -m pipeline predict --output='$(touch c).csv' -- --help 'my photos; touch b'"
    )


@pytest.mark.parametrize(
    ("entry", "given", "command"),
    [
        ("promote", {"task": "digits"}, "python -m pipeline promote --version=challenger -- digits"),
        (
            "promote",
            {"task": "--help; touch b", "version": "2 --override=x"},
            "python -m pipeline promote --version='2 --override=x' -- '--help; touch b'",
        ),
        ("rollback", {"task": "$(touch b)"}, "python -m pipeline rollback -- '$(touch b)'"),
    ],
)
def test_promotions_by_mlflow_run_take_each_value_as_one_word(
    repository: Path, entry: str, given: dict[str, str], command: str
) -> None:
    from mlflow.projects._project_spec import load_project

    entry_point = load_project(str(repository)).get_entry_point(entry)
    assert entry_point.compute_command(given, None).removeprefix("MLFLOW_DISABLE_TELEMETRY=true ") == command


HOSTILE = (
    "x; touch pwned",
    "x && touch pwned",
    "x & touch pwned",
    "x | touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "x\ntouch pwned",
    "x' ; touch pwned; '",
    'x" ; touch pwned; "',
    "x\\'; touch pwned #",
    "> pwned",
    "--cwd=/",
    "{PWD}",
    "$HOME",
)
# In the place of DVC and of Python: says what it was called with.
RECORDER = '#!/bin/sh\nprintf \'%s\\0\' "$0" "$@" >> called\n'


@pytest.fixture
def recorded(tmp_path: Path, repository: Path) -> Path:
    """A project with the real MLproject, in which `dvc` and `python` are scripts that record their arguments."""
    root = tmp_path / "project"
    (root / "bin").mkdir(parents=True)
    shutil.copy(repository / "MLproject", root)
    shutil.copy(repository / "conda.yaml", root)
    for name in ("dvc", "python"):
        (root / "bin" / name).write_text(RECORDER)
        (root / "bin" / name).chmod(0o755)
    return root


def called(root: Path) -> list[str]:
    """What was called, each with its arguments, one after the other."""
    return [word.removeprefix(f"{root / 'bin'}/") for word in (root / "called").read_text().split("\0")[:-1]]


def calls_for(stage: str) -> list[str]:
    return ["dvc", "repro", "--", stage, "python", "-m", "pipeline", "sync"]


def test_the_shell_gets_a_hostile_stage_as_one_word(repository: Path, recorded: Path) -> None:
    """By the shell and with the words that MLflow starts an entry point with."""
    from mlflow.projects._project_spec import load_project

    entry_point = load_project(str(repository)).get_entry_point("main")
    environment = {"PATH": f"{recorded / 'bin'}:/usr/bin:/bin"}
    before = set(recorded.iterdir())
    for stage in HOSTILE:
        (recorded / "called").unlink(missing_ok=True)
        command = entry_point.compute_command({"stage": stage}, None)
        subprocess.run(["bash", "-c", command], cwd=recorded, env=environment, check=True)
        assert called(recorded) == calls_for(stage)
    assert set(recorded.iterdir()) - before == {recorded / "called"}


def test_mlflow_run_hands_on_a_hostile_stage_as_one_word(recorded: Path) -> None:
    stage = "x'; touch pwned; echo $(touch pwned) `touch pwned` \" & touch pwned #"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
        "PATH": f"{recorded / 'bin'}:{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{recorded}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "run", ".", "--env-manager", "local", "-P", f"stage={stage}"]
    subprocess.run(command, cwd=recorded, env=environment, check=True, capture_output=True, text=True, timeout=200)
    assert called(recorded) == calls_for(stage)
    assert not list(recorded.rglob("pwned"))


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("data/raw/mnist/train-images-idx3-ubyte.gz", True),
        ("models/mnist/handwritten-digits/digits_64x64.keras", True),
        ("predictions/fashion/fashion_128.npz", True),
        ("mlflow.db", True),
        ("mlflow.db-journal", True),
        (".demo/params.yaml", True),
        (".venv/bin/python", True),
        ("pipeline/__pycache__/params.cpython-311.pyc", True),
        (".dvc/tmp/lock", True),
        (".dvc/cache/files/md5/00/0", True),
        ("results/data/mnist/statistics.json", False),
        ("results/train/mnist/handwritten-digits/digits_64x64/metrics.json", False),
        ("pipeline/models/mlp.py", False),
        ("dvc.lock", False),
        (".dvc/config", False),
    ],
)
def test_git_ignores_what_is_made_again(repository: Path, tmp_path: Path, path: str, ignored: bool) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    for name in (".gitignore", ".dvc/.gitignore"):
        shutil.copy(repository / name, tmp_path / name)
    answer = subprocess.run(["git", "-C", str(tmp_path), "check-ignore", "--quiet", path], check=False)
    assert (answer.returncode == 0) is ignored


def test_a_clone_of_git_for_windows_has_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    """Its default turns line ends, and DVC would take the code for changed."""
    clone = ["git", "clone", "--quiet", "--config", "core.autocrlf=true", str(repository), str(tmp_path / "clone")]
    if subprocess.run(clone, check=False, capture_output=True).returncode:
        pytest.skip("not in a git repository")
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=tmp_path / "clone", check=True, capture_output=True)
    assert {line.split()[1] for line in listed.stdout.splitlines()} <= {b"w/lf", b"w/-text", b"w/none"}


def test_dvc_stays_off_the_network(repository: Path) -> None:
    config = (repository / ".dvc" / "config").read_text()
    assert re.search(r"^\s*analytics = false$", config, re.MULTILINE)
    assert re.search(r"^\s*check_update = false$", config, re.MULTILINE)
