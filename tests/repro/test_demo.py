"""The demo's workspace: a copy that is refreshed, below a project that is left alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.config.load import FILES
from pipeline.errors import PipelineError
from pipeline.repro import demo

DVC_YAML = """
stages:
  report:
    cmd: python report.py
    deps: [report.py]
    outs: [where.txt: {cache: false}]
"""
REPORT = """
import os, sys
from pathlib import Path
Path("where.txt").write_text(f"{os.environ['DVC_ROOT']} {sys.executable}")
with Path("times.log").open("a") as log:
    log.write("ran;")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a project has at its root, in small, and results of the full study."""
    root = tmp_path / "project"
    for name, text in {
        "dvc.yaml": DVC_YAML,
        "reported_results.yaml": "reported: 1",
        "benchmarks/block_costs.csv": "measured",
        "benchmarks/updates.csv": "measured too",
        "docs/findings.md.jinja": "words",
        "docs/findings.md": "words",
        "benchmarks/engines.py": "measures",
        "pipeline/__init__.py": "",
        "pipeline/stages/train.py": "first version",
        "pipeline/__pycache__/params.pyc": "compiled",
        **{f"demo/{name}": "for: the demo" for name in FILES},
        **dict.fromkeys(FILES, "for: the full study"),
        "dvc.lock": "of the full study",
        "mlflow.db": "of the full study",
        "results/variants.csv": "of the full study",
        ".dvc/config": "[core]\n    autostage = true\n",
    }.items():
        write(root / name, text)
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def texts(root: Path, *, without: str | None = None) -> dict[str, str]:
    """The files below a folder."""
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and (without is None or not path.is_relative_to(root / without))
    }


def test_the_workspace_is_a_copy_with_the_demos_params(project: Path) -> None:
    workspace = demo.prepare(project)
    assert workspace.root == project / ".demo"
    assert texts(workspace.root) == {
        ".dvc/config": demo.DVC_CONFIG,
        "benchmarks/block_costs.csv": "measured",
        "benchmarks/updates.csv": "measured too",
        "docs/findings.md.jinja": "words",
        "dvc.yaml": DVC_YAML,
        **dict.fromkeys(FILES, "for: the demo"),
        "pipeline/__init__.py": "",
        "pipeline/stages/train.py": "first version",
        "reported_results.yaml": "reported: 1",
    }


def test_the_project_is_left_alone(project: Path) -> None:
    before = texts(project)
    demo.prepare(project)
    demo.prepare(project)
    assert texts(project, without=".demo") == before


def test_changed_code_is_refreshed_and_removed_code_goes(project: Path) -> None:
    demo.prepare(project)
    write(project / "pipeline" / "stages" / "train.py", "second version")
    write(project / "pipeline" / "stages" / "new.py", "new")
    (project / "pipeline" / "__init__.py").unlink()
    write(project / "demo" / "params" / "data.yaml", "sources: others")
    copies = texts(demo.prepare(project).root)
    assert copies["pipeline/stages/train.py"] == "second version"
    assert copies["pipeline/stages/new.py"] == "new"
    assert copies["params/data.yaml"] == "sources: others"
    assert "pipeline/__init__.py" not in copies


def test_what_the_stages_made_stays(project: Path) -> None:
    root = demo.prepare(project).root
    made = {
        "data/raw/digits/x.gz": "data",
        "models/digits/x.keras": "model",
        "results/variants.csv": "demo results",
        "dvc.lock": "demo lock",
        "mlflow.db": "demo runs",
        ".dvc/cache/files/md5/00/0": "cached",
    }
    for name, text in made.items():
        write(root / name, text)
    demo.prepare(project)
    assert made.items() <= texts(root).items()


def test_every_stage_module_of_the_project_is_copied(repository: Path, tmp_path: Path) -> None:
    """The names in demo.SHARED are those of the real project."""
    for name in (*demo.SHARED, demo.PARAMS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(repository / name)
    root = demo.prepare(tmp_path).root
    for name in ("dvc.yaml", "reported_results.yaml", "pipeline/cli.py", "pipeline/stages/train.py"):
        assert (root / name).read_bytes() == (repository / name).read_bytes()
        assert not (root / name).is_symlink()
    for name in FILES:
        assert (root / name).read_bytes() == (repository / "demo" / name).read_bytes()


@pytest.mark.parametrize("missing", ["dvc.yaml", "reported_results.yaml", "demo/params.yaml", "demo/params/data.yaml"])
def test_what_is_not_the_projects_root_is_refused_untouched(project: Path, missing: str) -> None:
    (project / missing).unlink()
    before = texts(project)
    with pytest.raises(PipelineError) as raised:
        demo.require_project(project)
    assert str(raised.value) == f"{project}: expected the project's root, but {missing} is missing there."
    assert texts(project) == before


def test_an_empty_folder_lacks_everything(tmp_path: Path) -> None:
    with pytest.raises(
        PipelineError,
        match=r"dvc\.yaml, .*, pipeline, benchmarks/block_costs\.csv, .*, docs/findings\.md\.jinja, "
        r"demo/params\.yaml, .*, demo/params/studies\.yaml",
    ):
        demo.require_project(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_dvc_runs_in_the_workspace_by_this_python(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from within a `dvc` command of the project, and from an environment that is not activated."""
    write(project / "report.py", REPORT)
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.setenv("DVC_STAGE", "train@x")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    workspace = demo.prepare(project)
    write(workspace.root / "report.py", REPORT)
    demo.reproduce(workspace)
    root, _, python = (workspace.root / "where.txt").read_text().partition(" ")
    assert root == str(workspace.root)
    assert Path(python).parent == Path(sys.executable).parent
    demo.reproduce(demo.prepare(project))
    assert (workspace.root / "times.log").read_text() == "ran;"
    assert (project / "dvc.lock").read_text() == "of the full study"


def test_a_stage_that_fails_stops_the_demo(project: Path) -> None:
    workspace = demo.prepare(project)
    write(workspace.root / "report.py", "raise SystemExit('error: no')")
    with pytest.raises(PipelineError) as raised:
        demo.reproduce(workspace)
    assert str(raised.value).startswith("the demo stopped at report.\n\nreport printed:\n\n")
    assert "error: no" in str(raised.value)
    assert str(raised.value).endswith(f"To begin anew, delete {workspace.root}.")
