"""How a stage starts and ends, each tried in a process of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from pipeline.runtime import process as entry
from tests import params_files

PREAMBLE = """
import os, sys, time
from pathlib import Path
from pipeline.runtime import process
def run(stage):
    process.prepare_process()
    process.run(stage, sys.argv[1])
"""
# Says that it has begun, then works; what it cleans up with, it says too.
SLOW_STAGE = """
from pipeline.io import storage
def stage(workspace, params, name):
    try:
        with storage.atomic_write(workspace.root / "output") as file:
            file.write(b"half of it")
            file.flush()
            print("begun", os.getpid(), flush=True)
            time.sleep(60)
    finally:
        Path("cleaned").touch()
run(stage)
"""
Start = Callable[..., subprocess.Popen[str]]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is a signal on Linux only")


@pytest.fixture
def start(tmp_path: Path, repository: Path) -> Iterator[Start]:
    """Starts Python code with the command line of a stage, in a workspace with the demo's parameters."""
    params_files.copy(repository / "demo", tmp_path)
    processes = contextlib.ExitStack()

    def launch(code: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + code, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(repository), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.enter_context(process)
        processes.callback(process.kill)
        return process

    with processes:
        yield launch


def result(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def test_a_stage_gets_the_workspace_the_params_and_the_name(start: Start, tmp_path: Path) -> None:
    code = "run(lambda workspace, params, name: print(workspace.root, params.compute.threads, name))"
    assert result(start(code, "digits_64x64")) == (0, f"{tmp_path} 1 digits_64x64\n", "")


@pytest.mark.parametrize("name", ["train@digits_64x64", "../dvc.yaml:train@digits_64x64"])
def test_a_stage_is_named_as_dvc_names_it(start: Start, name: str) -> None:
    assert result(start("run(lambda workspace, params, name: print(name))", name)) == (0, "digits_64x64\n", "")


@pytest.mark.parametrize(
    "name", ["x$(touch pwned)", "x & touch pwned", "`touch pwned`", "x\ntouch pwned", '" & touch pwned "']
)
def test_a_name_in_params_is_no_command(
    tmp_path: Path, repository: Path, make_dvc_folder: Callable[[Path], None], name: str
) -> None:
    """DVC puts names into commands as they are, before the stage can refuse them."""
    for copied in ("dvc.yaml", "reported_results.yaml", "pipeline"):
        (tmp_path / copied).symlink_to(repository / copied)
    make_dvc_folder(tmp_path)
    params_files.copy(repository / "demo", tmp_path)
    yaml, path = YAML(typ="safe"), tmp_path / "params" / "data.yaml"
    data = yaml.load(path)
    data["sources"][name] = data["sources"]["digits"]
    yaml.dump(data, path)
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", f"fetch@{name}"]
    refused = subprocess.run(
        command,
        cwd=tmp_path,
        env=entry.environment_of_stages(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert "params/data.yaml: sources." in refused.stderr, refused.stderr
    assert "expected text that matches ^[a-z][a-z0-9_-]*$" in refused.stderr
    assert not list(tmp_path.rglob("*pwned*"))


def test_a_users_mistake_is_one_line(start: Start) -> None:
    code = """
from pipeline.errors import PipelineError
def stage(workspace, params, name):
    raise PipelineError("train.npz: expected images. Delete it.")
run(stage)
"""
    assert result(start(code, "x")) == (1, "", "error: train.npz: expected images. Delete it.\n")


def test_a_mistake_in_params_is_one_line(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 75", "epochs: -75"))
    code = "run(lambda workspace, params, name: print('not reached'))"
    expected = f"error: {path}: regressors.sine_64x16.epochs: expected greater than 0, got -75.\n"
    assert result(start(code, "x")) == (1, "", expected)


def test_a_workspace_without_params(start: Start, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").unlink()
    code = "run(lambda workspace, params, name: print('not reached'))"
    told = "not found. Run the command in the folder that holds params.yaml."
    assert result(start(code, "x")) == (1, "", f"error: {tmp_path / 'params.yaml'}: {told}\n")


def test_a_fault_of_the_program_keeps_its_traceback(start: Start) -> None:
    code, _, stderr = result(start("run(lambda workspace, params, name: 1 / 0)", "x"))
    assert code == 1
    assert "Traceback" in stderr
    assert "ZeroDivisionError" in stderr


def test_termination_cleans_up(start: Start, tmp_path: Path) -> None:
    process = start(SLOW_STAGE, "x")
    assert process.stdout
    assert process.stdout.readline().startswith("begun")
    process.terminate()
    assert result(process) == (128 + signal.SIGTERM, "", "")
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", "params", "cleaned"}


@on_linux
@pytest.mark.parametrize(
    "shell", [[], ["bash", "--noprofile", "--norc", "-c"], ["sh", "-c"]], ids=["direct", "bash, as DVC does", "sh"]
)
def test_a_stage_ends_with_its_parent(start: Start, tmp_path: Path, shell: list[str]) -> None:
    (tmp_path / "stage.py").write_text(PREAMBLE + SLOW_STAGE)
    stage = [sys.executable, "stage.py", "x"]
    # With exec, as in dvc.yaml: not every shell makes way for a single command by itself.
    command = [*shell, f"exec {shlex.join(stage)}"] if shell else stage
    parent = start(f"import subprocess; subprocess.run({command})")
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline().split()[1]))
    parent.kill()
    deadline = time.monotonic() + 30
    while not has_ended(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert has_ended(child)
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml", "params", "stage.py", "cleaned"}


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or only waits for whoever adopted it to take note."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


ORPHAN = """
os.getppid = lambda: 1
run(lambda workspace, params, name: print("begun"))
"""


@on_linux
def test_a_stage_whose_dvc_has_ended_already_does_not_begin(start: Start) -> None:
    """A parent that dies before the stage asks to be told of it is never told."""
    assert result(start(ORPHAN, "x", DVC_STAGE="train@x")) == (1, "", "error: DVC has ended before its stage began.\n")


@on_linux
@pytest.mark.parametrize("program", ["dvc", "pipeline", "init"])
def test_the_first_process_of_a_container_may_be_dvc_itself(start: Start, tmp_path: Path, program: str) -> None:
    """Nothing of it shows in the parent's number, which is that of a dead parent too."""
    (tmp_path / "cmdline").write_text(f"python\0-m\0{program}\0repro\0")
    code = f"""
os.getppid = lambda: 1
process.Path = lambda path: Path({str(tmp_path / "cmdline")!r}) if path == "/proc/1/cmdline" else Path(path)
process.Path.cwd = Path.cwd
run(lambda workspace, params, name: print("begun"))
"""
    status, said, _ = result(start(code, "x", DVC_STAGE="train@x"))
    assert (status, said) == ((1, "") if program == "init" else (0, "begun\n"))


@on_linux
def test_without_dvc_the_first_process_may_start_a_stage(start: Start) -> None:
    """As in a container whose first process is the shell."""
    assert result(start(ORPHAN, "x")) == (0, "begun\n", "")
