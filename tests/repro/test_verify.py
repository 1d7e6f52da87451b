"""`verify`, on a real DVC project whose stages take a moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.errors import PipelineError
from pipeline.io import dvc_lock
from pipeline.io.paths import Workspace
from pipeline.repro import verify as verification
from pipeline.repro.verify import Rerun
from pipeline.runtime import process as entry

DVC_YAML = """
stages:
  draw:
    foreach: ${items}
    do:
      cmd: exec python make.py draw ${key}
      params: ["items.${key}"]
      deps: [make.py]
      outs: ["data/${key}.txt"]
  collect:
    cmd: exec python make.py collect
    params: [title]
    deps: [make.py, data]
    outs:
      - book
      - results/table.csv: {cache: false}
  count:
    cmd: exec python make.py count
    deps: [make.py, book, results/table.csv]
    outs:
      - results/count.txt: {cache: false}
"""
PARAMS = "title: Numbers\nitems:\n  one: 1\n  two: 2\n"
# What the environment asks for: another result, a failure, a long run.
MAKE = """
import os, sys, time
from pathlib import Path
what = sys.argv[1]
items = dict(line.split(": ") for line in Path("params.yaml").read_text().splitlines() if line.startswith("  "))
items = {name.strip(): value for name, value in items.items()}
if os.environ.get("BROKEN") == what:
    sys.exit("error: no luck")
if os.environ.get("SLOW") == what:
    from pipeline.runtime.process import die_with_parent
    die_with_parent()
    Path(os.environ["STARTED"]).write_text(str(os.getpid()))
    time.sleep(120)
unstable = os.environ.get("UNSTABLE") == what
Path("data").mkdir(exist_ok=True)
Path("results").mkdir(exist_ok=True)
if what == "draw":
    Path("data", sys.argv[2] + ".txt").write_text(items[sys.argv[2]])
elif what == "collect":
    values = {path.name: path.read_text() for path in sorted(Path("data").iterdir())}
    Path("book", "index").mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        Path("book", name).write_text(value)
    Path("book", "index", "all.txt").write_text(str(time.time()) if unstable else " ".join(values))
    Path("results", "table.csv").write_text("".join(values.values()))
elif os.environ.get("UNSTABLE") != "lost":
    Path("results", "count.txt").write_text(str(len(list(Path("book").iterdir()))))
"""
ADDRESSES = ["draw@one", "draw@two", "collect", "count"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_dvc_folder: Callable[[Path], None]) -> Path:
    """The project after `dvc repro`."""
    root = tmp_path_factory.mktemp("made") / "project"
    make_dvc_folder(root)
    for name, text in {"dvc.yaml": DVC_YAML, "params.yaml": PARAMS, "make.py": MAKE}.items():
        (root / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    environment |= {
        "DVC_SITE_CACHE_DIR": str(root.parent / "site"),
        "DVC_NO_ANALYTICS": "true",
    }
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--quiet"],
        cwd=root,
        env=entry.environment_of_stages(environment),
        check=True,
    )
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to change, with a temporary folder of its own."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return Path(shutil.copytree(made, tmp_path / "project", symlinks=True))


def verify(root: Path, *names: str) -> dict[str, Rerun]:
    opened = verification.open_project(Workspace(root))
    return {item.stage: item for item in verification.verify(opened, verification.choose(opened, names))}


def state(root: Path) -> dict[str, tuple[float, bytes]]:
    """Every file with its time and content, but for DVC's own temporary ones."""
    files = [path for path in root.rglob("*") if path.is_file() and ".dvc/tmp" not in path.as_posix()]
    return {str(path.relative_to(root)): (path.stat().st_mtime, path.read_bytes()) for path in files}


def cached(root: Path, path: str) -> Path:
    """Where the cache keeps an output."""
    digest = next(stage.outputs[path] for stage in dvc_lock.read(root).values() if path in stage.outputs)
    return root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]


def test_equal_outputs_are_the_same_and_the_workspace_is_left_alone(project: Path) -> None:
    before = state(project)
    reruns = verify(project)
    assert {address: (item.outcome, item.detail) for address, item in reruns.items()} == dict.fromkeys(
        ADDRESSES, ("same", "")
    )
    assert [item.num_outputs for item in reruns.values()] == [1, 1, 2, 1]
    assert state(project) == before
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_inputs_come_from_the_cache_whatever_lies_in_the_workspace(project: Path) -> None:
    (project / "data" / "one.txt").unlink()
    (project / "data" / "two.txt").write_text("spoilt")
    shutil.rmtree(project / "book")
    assert {item.outcome for item in verify(project).values()} == {"same"}


def test_the_first_file_that_differs_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSTABLE", "collect")
    reruns = verify(project)
    assert [item.outcome for item in reruns.values()] == ["same", "same", "different", "same"]
    expected = dvc_lock.read(project)["collect"].outputs["book"]
    assert reruns["collect"].detail.startswith("book (index/all.txt): ")
    assert reruns["collect"].detail.endswith(f".dir, expected {expected}")


def test_an_output_that_is_not_written_differs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSTABLE", "lost")
    assert verify(project, "count")["count"].detail == "results/count.txt: not written"


def test_a_stage_that_fails_is_told_with_its_last_lines(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "draw")
    reruns = verify(project, "draw@one", "count")
    assert (reruns["draw@one"].outcome, reruns["draw@one"].detail) == ("failed", "exit status 1: error: no luck")
    assert reruns["count"].outcome == "same"


def test_what_changed_since_the_lock_file_was_written_is_told(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMS.replace("one: 1", "one: 5"))
    with (project / "make.py").open("a") as code:
        code.write("# a comment\n")
    reruns = verify(project, "draw")
    assert reruns["draw@one"].outcome == "different"
    assert reruns["draw@one"].changed_inputs == ("make.py", "params.yaml: items.one")
    assert (reruns["draw@two"].outcome, reruns["draw@two"].changed_inputs) == ("same", ("make.py",))


def test_an_input_that_only_the_workspace_has_is_copied(project: Path) -> None:
    cached(project, "data/one.txt").unlink()
    assert verify(project, "collect")["collect"].outcome == "same"


@pytest.mark.parametrize("stage", ["collect", "count"])
def test_a_missing_cache_is_an_error_that_says_what_to_do(project: Path, stage: str) -> None:
    path = {"collect": "data/one.txt", "count": "book"}[stage]
    cached(project, path).unlink()
    shutil.rmtree(project / path.split("/")[0])
    with pytest.raises(
        PipelineError, match=rf"^{path}: an input of {stage} that .* Run `dvc pull`.*`dvc repro {stage}`"
    ):
        verify(project, stage)
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_a_missing_file_of_the_project_is_named(project: Path) -> None:
    (project / "make.py").unlink()
    with pytest.raises(PipelineError, match=r"make\.py: an input of draw@one, but the file is missing"):
        verify(project, "draw@one")


def test_stages_are_named_by_address_or_group_in_the_order_of_the_file(project: Path) -> None:
    opened = verification.open_project(Workspace(project))
    assert list(opened.stages) == ADDRESSES
    assert verification.choose(opened, ["count", "draw@two"]) == ["draw@two", "count"]
    assert verification.choose(opened, ["draw"]) == ["draw@one", "draw@two"]
    with pytest.raises(PipelineError, match=r"unknown stage 'drew'; .* draw@one, or .* groups: collect, count, draw"):
        verification.choose(opened, ["count", "drew"])


def test_a_seed_picks_the_same_sample_again(project: Path) -> None:
    opened = verification.open_project(Workspace(project))
    samples = [verification.choose(opened, [], sample=2, seed=seed) for seed in range(20)]
    assert samples == [verification.choose(opened, [], sample=2, seed=seed) for seed in range(20)]
    assert {len(sample) for sample in samples} == {2}
    assert {address for sample in samples for address in sample} == set(ADDRESSES)
    assert verification.choose(opened, [], sample=9, seed=1) == ADDRESSES


def test_a_stage_that_has_not_run_has_nothing_to_be_compared_with(project: Path) -> None:
    (project / "params.yaml").write_text(f"{PARAMS}  three: 3\n")
    opened = verification.open_project(Workspace(project))
    assert opened.not_run == ("draw@three",)
    assert verification.choose(opened, ["draw"]) == ["draw@one", "draw@two"]
    with pytest.raises(PipelineError, match=r"dvc\.lock: expected draw@three, got none\. Run `dvc repro draw@three`"):
        verification.choose(opened, ["draw@three"])


def test_a_stage_that_is_no_longer_in_the_pipeline_is_unknown(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMS.replace("  two: 2\n", ""))
    with pytest.raises(PipelineError, match="unknown stage 'draw@two'"):
        verification.choose(verification.open_project(Workspace(project)), ["draw@two"])


def test_what_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"dvc\.yaml: not found"):
        verification.open_project(Workspace(tmp_path))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(PipelineError, match="DVC cannot read the project"):
        verification.open_project(Workspace(tmp_path))


Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def command(project: Path, repository: Path) -> Command:
    """`python -m pipeline verify` in the project."""

    def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", "verify", *arguments],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(repository), "COLUMNS": "200", "NO_COLOR": "1", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_the_command_ends_with_1_when_bytes_differ(command: Command) -> None:
    with command("collect", "count", UNSTABLE="collect") as process:
        output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (1, "")
    assert "different" in output
    assert "book (index/all.txt)" in output


def test_the_command_prints_the_seed_of_its_sample(command: Command) -> None:
    with command("--sample", "1") as process:
        output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    seed = output.split("--seed ")[1].split()[0]
    (picked,) = [address for address in ADDRESSES if address in output]
    with command("--sample", "1", "--seed", seed) as process:
        again, _ = process.communicate(timeout=120)
    assert picked in again


def test_a_kill_leaves_the_workspace_alone_and_its_folder_goes_with_the_next(
    project: Path, command: Command, tmp_path: Path
) -> None:
    before, started = state(project), tmp_path / "started"
    with command("collect", SLOW="collect", STARTED=str(started)) as process:
        deadline = time.monotonic() + 60
        while not (started.is_file() and started.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    stage = int(started.read_text())
    while psutil.pid_exists(stage) and psutil.Process(stage).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert state(project) == before
    assert list(Path(tempfile.gettempdir()).glob(f"{verification.SCRATCH}*"))
    assert verify(project, "count")["count"].outcome == "same"
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
