"""Stages that are forked: to whoever started them they are what `python -m` would have been, but for the imports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from pipeline.runtime import fork_server
from tests import params_files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")

LIMIT = 60
# The beginning of what is to be forked, as in pipeline/stages/__main__.py.
PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
from pipeline.runtime import fork_server, process
process.prepare_process()
status = fork_server.run_main_module()
if status is not None:
    sys.exit(status)
"""
SLOW = """
def terminate(number, frame):
    Path("cleaned").touch()
    sys.exit(128 + number)
signal.signal(signal.SIGTERM, terminate)
print(os.getpid(), flush=True)
time.sleep(600)
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def environment(repository: Path) -> Iterator[dict[str, str]]:
    with fork_server.started({**os.environ, "PYTHONPATH": str(repository)}) as environment:
        yield environment


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Starts a module of the given code, with the server's address in its environment."""
    processes: list[subprocess.Popen[str]] = []

    def launch(code: str, *arguments: str, variables: Mapping[str, str] = environment) -> subprocess.Popen[str]:
        (tmp_path / "job.py").write_text(PREAMBLE + code)
        process = subprocess.Popen(
            [sys.executable, "-m", "job", *arguments],
            cwd=tmp_path,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield launch
    for process in processes:
        with process:
            process.kill()


def result(process: subprocess.Popen[str], entered: str = "") -> tuple[int, str, str]:
    stdout, stderr = process.communicate(entered, timeout=LIMIT)
    return process.returncode, stdout, stderr


def first_number(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    return int(process.stdout.readline())


def wait_for_the_end_of(number: int) -> None:
    deadline = time.monotonic() + LIMIT
    while psutil.pid_exists(number) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(number)


def test_the_packages_are_there_before_the_first_import(start: Start) -> None:
    code = "print({'jax', 'mlflow', 'pandas'} <= set(sys.modules), {'keras', 'tensorflow'} & set(sys.modules))"
    assert result(start(code)) == (0, "True set()\n", "")


def test_without_the_server_they_are_not(start: Start, environment: dict[str, str]) -> None:
    variables = {name: value for name, value in environment.items() if name != fork_server.ADDRESS}
    assert result(start("print('mlflow' in sys.modules)", variables=variables)) == (0, "False\n", "")


def test_a_server_that_is_gone_is_done_without(start: Start, environment: dict[str, str], tmp_path: Path) -> None:
    variables = {**environment, fork_server.ADDRESS: str(tmp_path / "gone")}
    assert result(start("print('mlflow' in sys.modules)", variables=variables)) == (0, "False\n", "")


def test_a_server_that_dies_while_it_imports_is_done_without(
    start: Start, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = [sys.executable, "-c", "import time; time.sleep(2); raise SystemExit('no memory')"]
    monkeypatch.setattr(fork_server, "COMMAND", dying)
    plain = {name: value for name, value in environment.items() if name != fork_server.ADDRESS}
    with fork_server.started(plain) as with_address:
        assert with_address[fork_server.ADDRESS] != environment[fork_server.ADDRESS]
        assert result(start("print('mlflow' in sys.modules)", variables=with_address)) == (0, "False\n", "")


def test_below_a_folder_with_a_long_name_there_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with fork_server.started({"A": "b"}) as environment:
        assert environment == {"A": "b"}


def test_a_user_can_switch_the_server_off(start: Start, repository: Path) -> None:
    before = set(psutil.Process().children())
    switched_off = {**os.environ, "PYTHONPATH": str(repository), fork_server.ADDRESS: fork_server.OFF}
    with fork_server.started(switched_off) as environment:
        assert environment == switched_off
        assert set(psutil.Process().children()) <= before
        assert result(start("print('mlflow' in sys.modules)", variables=environment)) == (0, "False\n", "")


def test_arguments_folder_environment_and_streams_are_its_own(
    start: Start, environment: dict[str, str], tmp_path: Path
) -> None:
    code = "print(sys.argv[1:], Path.cwd(), sys.path[0], os.environ['WORD'], input(), __name__, file=sys.stderr)"
    process = start(code, "a b", "--c", variables={**environment, "WORD": "größer"})
    expected = f"['a b', '--c'] {tmp_path} {tmp_path} größer entered __main__\n"
    assert result(process, "entered\n") == (0, "", expected)


def test_what_it_starts_does_not_fork_in_turn(start: Start) -> None:
    assert result(start(f"print({fork_server.ADDRESS!r} in os.environ)")) == (0, "False\n", "")


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('error: no')", 1, "error: no\n"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL, ""),
    ],
)
def test_its_end_is_passed_on(start: Start, code: str, status: int, said: str) -> None:
    assert result(start(code)) == (status, "", said)


def test_a_fault_has_the_traceback_of_its_own_code(start: Start, tmp_path: Path) -> None:
    status, _, stderr = result(start("def divide():\n    1 / 0\ndivide()"))
    assert status == 1
    assert f'File "{tmp_path / "job.py"}"' in stderr
    assert stderr.endswith("ZeroDivisionError: division by zero\n")


def test_what_runs_at_the_end_of_a_process_runs(start: Start) -> None:
    assert result(start("import atexit; atexit.register(print, 'ended')")) == (0, "ended\n", "")


def test_termination_is_passed_on_and_awaited(start: Start, tmp_path: Path) -> None:
    process = start(SLOW)
    fork = first_number(process)
    assert fork != process.pid
    process.terminate()
    assert result(process) == (128 + signal.SIGTERM, "", "")
    assert (tmp_path / "cleaned").exists()
    wait_for_the_end_of(fork)


def test_it_ends_when_the_one_that_stands_for_it_is_killed(start: Start, tmp_path: Path) -> None:
    process = start(SLOW)
    fork = first_number(process)
    process.kill()
    wait_for_the_end_of(fork)
    assert (tmp_path / "cleaned").exists()


def test_it_ends_when_its_keeper_is_killed(start: Start) -> None:
    process = start(SLOW)
    fork = first_number(process)
    psutil.Process(fork).parent().kill()  # type: ignore[union-attr]
    assert result(process)[0] == 128 + signal.SIGKILL
    wait_for_the_end_of(fork)


def test_several_run_at_once(start: Start) -> None:
    first, second = start(SLOW), start(SLOW)
    assert len({first_number(first), first_number(second)}) == 2


def test_a_stage_runs_the_code_of_its_own_folder(tmp_path: Path, repository: Path, environment: dict[str, str]) -> None:
    """As in the demonstration's workspace, which has a copy of the package."""
    shutil.copytree(repository / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    # A stage that records its runs itself, so that nothing is published after it.
    (tmp_path / "pipeline" / "stages" / "train.py").write_text(
        "import sys\nfrom pipeline.config import params\n"
        "def main(*_): print('mlflow' in sys.modules, params.__file__)\n"
    )
    params_files.copy(repository / "demo", tmp_path)
    command = [sys.executable, "-m", "pipeline.stages", "train", "all"]
    finished = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert (finished.stdout, finished.stderr) == (f"True {tmp_path / 'pipeline' / 'config' / 'params.py'}\n", "")


def test_the_server_ends_with_the_block(repository: Path) -> None:
    before = set(psutil.Process().children())
    with fork_server.started({**os.environ, "PYTHONPATH": str(repository)}) as environment:
        assert len(set(psutil.Process().children()) - before) == 1
    assert set(psutil.Process().children()) <= before
    assert not Path(environment[fork_server.ADDRESS]).exists()
