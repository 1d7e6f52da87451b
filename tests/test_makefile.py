"""make and .ci/run, tried in a folder of their own with stand-ins for the tools that they call."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

QUICK = "-m pytest --numprocesses auto -m not slow"
PYTEST = "-m pytest --numprocesses auto --cov"
PYTEST_CLOSING_LINE = "========== 3 passed in 0.12s =========="

# Says how it was called and what it was told; where it is asked to, it fails.
PYTHON = f"""#!/bin/bash
case "$*" in
    "$FAIL_ON") echo "$1 $2 fails"; exit 1;;
    "{PYTEST}") echo "{PYTEST_CLOSING_LINE}";;
    *)
        echo "called: $*"
        echo "of $2: PIP_USER=$PIP_USER"
        echo "mirror: ${{DATASET_MIRROR:-none}}"
        echo "python: $(command -v python)";;
esac
"""


@pytest.fixture
def clone(tmp_path: Path, repository: Path) -> Path:
    """A copy of the set-up, in a folder with a space in its name, with an environment that counts as installed."""
    folder = tmp_path / "a clone"
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(repository / name, folder)
    shutil.copytree(repository / ".ci", folder / ".ci")
    python = folder / ".venv" / "bin" / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    write_program(folder / "bin" / "initdb", "")
    set_age(folder / "requirements.lock", seconds=100)
    (folder / ".venv" / ".installed").touch()
    return folder


def write_program(path: Path, code: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{code}\n")
    path.chmod(0o755)


def set_age(path: Path, *, seconds: int) -> None:
    time = path.stat().st_mtime - seconds
    os.utime(path, (time, time))


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    # Under `make test` the outer make's flags would reach the inner one.
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    # Stand-ins for programs of the system.
    path = {"PATH": f"{cwd / 'bin'}{os.pathsep}{inherited['PATH']}"}
    return subprocess.run(
        command, cwd=cwd, env=inherited | path | variables, text=True, capture_output=True, check=False, timeout=60
    )


def test_help_is_the_default_and_lists_every_target(clone: Path) -> None:
    listed = run("make", cwd=clone).stdout
    for target in ("demo", "test", "test-all", "repro", "report", "ui", "help"):
        assert f"\n  {target} " in listed


@pytest.mark.parametrize(
    ("target", "command"),
    [("demo", "-m pipeline demo"), ("test", QUICK), ("repro", "-m pipeline repro"), ("setup", None)],
)
def test_a_second_call_installs_nothing(clone: Path, target: str, command: str | None) -> None:
    done = run("make", target, cwd=clone)
    calls = [line.removeprefix("called: ") for line in done.stdout.splitlines() if line.startswith("called: ")]
    assert done.returncode == 0
    assert calls == ([] if command is None else [command])


def test_a_changed_lock_is_installed(clone: Path) -> None:
    set_age(clone / ".venv" / ".installed", seconds=200)
    calls = run("make", "demo", cwd=clone, PYTHON="python3").stdout
    assert "uv pip sync" in calls
    assert "--require-hashes --compile-bytecode requirements.lock" in calls
    assert "uv pip sync" not in run("make", "demo", cwd=clone).stdout


def test_a_setting_of_pip_to_install_for_the_user_is_overruled(clone: Path) -> None:
    set_age(clone / ".venv" / ".installed", seconds=200)
    assert "of pip: PIP_USER=0" in run("make", "setup", cwd=clone, PYTHON="python3", PIP_USER="1").stdout


def test_an_unsuitable_python_is_refused_with_the_way_out(clone: Path) -> None:
    set_age(clone / ".venv" / ".installed", seconds=200)
    refused = run("make", "demo", "PYTHON=false", cwd=clone)
    assert refused.returncode != 0
    assert "error: false is not Python 3.11, 3.12 or 3.13" in refused.stderr
    assert "make demo PYTHON=python3.12" in refused.stderr


def test_stages_find_the_environments_python(clone: Path) -> None:
    assert f"python: {clone}/.venv/bin/python" in run("make", "repro", cwd=clone).stdout


def test_the_mirror_is_the_folder_beside_the_project(clone: Path) -> None:
    assert "mirror: none" in run("make", "repro", cwd=clone).stdout
    (clone.parent / "shared" / "datasets").mkdir(parents=True)
    assert f"mirror: {clone}/../shared/datasets" in run("make", "repro", cwd=clone).stdout
    assert "mirror: /elsewhere" in run("make", "repro", cwd=clone, DATASET_MIRROR="/elsewhere").stdout


def test_ui_serves_this_machine_only(clone: Path) -> None:
    called = run("make", "ui", "PORT=5055", cwd=clone).stdout
    assert "-m mlflow ui --host 127.0.0.1 --port 5055" in called
    assert "--backend-store-uri sqlite:///mlflow.db" in called
    assert "sqlite:///mlflow.db" in called
    assert "sqlite:///.demo/mlflow.db" in run("make", "ui", "DEMO=1", cwd=clone).stdout
    assert "sqlite:///other.db" in run("make", "ui", cwd=clone, MLFLOW_TRACKING_URI="sqlite:///other.db").stdout


def test_ui_of_a_server_is_its_own(clone: Path) -> None:
    told = run("make", "ui", cwd=clone, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert told.returncode == 0
    assert "http://127.0.0.1:9" in told.stdout
    assert "called" not in told.stdout


@pytest.mark.parametrize("failing", ["", "-m ruff check .", "-m mypy"])
def test_ci_fails_with_any_check_and_ends_with_the_closing_line(clone: Path, failing: str) -> None:
    done = run(".ci/run", cwd=clone, FAIL_ON=failing)
    assert (done.returncode == 0) is (failing == "")
    assert done.stdout.splitlines()[-1] == PYTEST_CLOSING_LINE


def test_ci_fails_with_the_tests(clone: Path) -> None:
    assert run(".ci/run", cwd=clone, FAIL_ON=PYTEST).returncode != 0


@pytest.mark.parametrize(("answer", "installed"), [("exit 0", True), ("exit 1", False)])
def test_ci_installs_postgresql_where_it_can_and_goes_on_where_it_cannot(
    clone: Path, answer: str, installed: bool
) -> None:
    (clone / "bin" / "initdb").unlink()
    write_program(clone / "bin" / "apt-get", f'echo "$@" >> called; {answer}')
    write_program(clone / "bin" / "id", "echo 0")
    path = f"{clone / 'bin'}:/usr/bin:/bin"
    done = run(".ci/run", cwd=clone, PATH=path, POSTGRESQL_ROOT=str(clone / "none"))
    calls = (clone / "called").read_text().splitlines()
    assert calls[0] == "update"
    assert calls[1:] == (["install --yes --no-install-recommends postgresql"] if installed else [])
    assert ("tests of a real tracking server are skipped" in done.stdout) is not installed
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == PYTEST_CLOSING_LINE


def test_ci_installs_nothing_where_postgresql_is(clone: Path) -> None:
    write_program(clone / "bin" / "apt-get", "touch called")
    assert run(".ci/run", cwd=clone).returncode == 0
    assert not (clone / "called").exists()
