"""What is written for the people who work on the project, and for GitHub, agrees with the project itself."""

from __future__ import annotations

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

from pipeline.stages.__main__ import stages
from tests.test_architecture import LAYERS

# Not written by hand, so .editorconfig leaves it alone.
GENERATED = ("dvc.lock", "requirements.lock", "results/*", "benchmarks/*.csv")


def read_yaml(path: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(path)


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def jobs(repository: Path) -> dict[str, Any]:
    return read_yaml(repository / ".github" / "workflows" / "ci.yml")["jobs"]


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_workflow_checks_everything_on_linux_under_every_supported_python(
    jobs: dict[str, Any], project: dict[str, Any], repository: Path
) -> None:
    supported = [f"3.{minor}" for minor in range(8, 30) if f"3.{minor}" in SpecifierSet(project["requires-python"])]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == supported
    first, last = re.findall(r"\((\d+, \d+)\)", (repository / "Makefile").read_text())
    assert [first, last] == [version.replace(".", ", ") for version in (supported[0], supported[-1])]
    assert jobs["linux"]["runs-on"].startswith("ubuntu-")
    assert commands(jobs["linux"]) == [".ci/run"]


def test_the_workflow_runs_the_quick_tests_on_macos(jobs: dict[str, Any], repository: Path) -> None:
    assert jobs["macos"]["runs-on"].startswith("macos-")
    assert commands(jobs["macos"]) == ["make test"]
    assert set(jobs["macos"]["strategy"]["matrix"]["python"]) <= set(jobs["linux"]["strategy"]["matrix"]["python"])
    assert re.search(r"^test:", (repository / "Makefile").read_text(), re.MULTILINE)


def test_the_workflow_may_only_read_and_knows_no_secret(repository: Path) -> None:
    path = repository / ".github" / "workflows" / "ci.yml"
    assert read_yaml(path)["permissions"] == {"contents": "read"}
    assert "secrets" not in path.read_text()


@pytest.mark.parametrize("name", ["bug", "wrong_result", "new_study"])
def test_issue_forms_ask_questions(repository: Path, name: str) -> None:
    form = read_yaml(repository / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert form["name"]
    assert form["description"]
    questions = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({item["id"] for item in questions}) == len(questions)
    assert any(item.get("validations", {}).get("required") for item in questions)


def test_the_citation_is_of_this_version(repository: Path, project: dict[str, Any]) -> None:
    citation = read_yaml(repository / "CITATION.cff")
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert f"# {citation['title']}\n" in (repository / "README.md").read_text()
    assert f"## [{project['version']}] - {citation['date-released']}\n" in (repository / "CHANGELOG.md").read_text()


def test_files_are_written_as_the_editor_is_told(repository: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True, text=True)
    wrong = []
    for name in filter(None, tracked.stdout.split("\0")):
        content = (repository / name).read_bytes() if (repository / name).is_file() else b""
        if not content or b"\0" in content or any(fnmatch(name, pattern) for pattern in GENERATED):
            continue
        if b"\r" in content or not content.endswith(b"\n") or re.search(rb"[ \t]$", content, re.MULTILINE):
            wrong.append(name)
    assert wrong == []


def paths_in(text: str, repository: Path) -> set[str]:
    """The paths of the project that a text names. Words in capitals stand for any name: pipeline/models/FAMILY.py."""
    folders = "|".join(re.escape(path.name) for path in repository.iterdir() if path.is_dir() and path.name != ".git")
    nested = re.findall(rf"(?<![\w./-])(?:{folders})/[\w./-]*\w", text)
    at_root = re.findall(r"(?<![\w./-])[\w-]+\.(?:cff|lock|md|toml|yaml)(?![\w./-]*\w)", text)
    return {path for path in [*nested, *at_root] if not re.search(r"/\w*[A-Z]{3,}", path)}


LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#([^)]*))?\)")


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_documents_name_files_that_exist(repository: Path, document: str) -> None:
    named = paths_in(LINK.sub("]", (repository / document).read_text()), repository)
    assert {"params.yaml", "dvc.yaml", "pipeline/stages", "tests/test_architecture.py"} <= named
    assert sorted(path for path in named if not (repository / path).exists()) == []


def test_links_lead_to_files_and_headings_that_exist(repository: Path) -> None:
    for document in [repository / "README.md", repository / "CONTRIBUTING.md", *(repository / "docs").glob("*.md")]:
        links = LINK.findall(document.read_text())
        for target, heading in links:
            path = document.parent / target
            assert path.exists(), f"{document.name}: {target}"
            if heading:
                headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
                assert heading in {re.sub(r"[^\w-]", "", text.lower().replace(" ", "-")) for text in headings}


def test_every_page_of_docs_can_be_reached_from_the_readme(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    assert {f"docs/{path.name}" for path in (repository / "docs").glob("*.md")} <= {
        link for link, _ in LINK.findall(text)
    }
    assert len(text.splitlines()) <= 150, "what takes more belongs into docs"


def test_the_layout_in_the_readme_is_the_layout(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    tree = text.split("## How it is laid out\n\n```\n")[1].split("\n```\n")[0]
    named: set[str] = set()
    folder = ""
    for line in tree.splitlines():
        names = re.match(r" *([^\s,]+(?:, [^\s,]+)*)", line)
        assert names
        indent = "" if not line.startswith(" ") else folder
        named |= {indent + name for name in names[1].split(", ")}
        folder = folder if indent else names[1]
    assert sorted(path for path in named if not (repository / path).exists()) == []
    assert {f"pipeline/{package}/" for package in packages(repository)} <= named


def packages(repository: Path) -> set[str]:
    return {path.parent.name for path in (repository / "pipeline").glob("*/__init__.py")}


def test_the_architecture_tells_of_every_package_and_stage(repository: Path) -> None:
    text = (repository / "docs" / "architecture.md").read_text()
    assert set(re.findall(r"^\*\*(\w+)\*\* - ", text, re.MULTILINE)) == packages(repository)
    picture = (repository / "docs" / "data-flow.svg").read_text()
    words = set(re.findall(r"\w+", re.sub(r"<[^>]+>", " ", picture.split("</defs>")[1])))
    assert packages(repository) <= words
    assert set(stages()) <= words


def test_the_architecture_tells_the_layers(repository: Path) -> None:
    text = (repository / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| \d+ \| (.*) \|$", text, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == [set(layer) for layer in LAYERS]
