"""The rooms of the package: who may import whom, and that DVC knows the code that each stage runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import grimp
import pytest
from dvc.repo import Repo
from dvc.utils.serialize import modify_yaml
from pydantic import BaseModel
from ruamel.yaml import YAML

from pipeline.config import data, models, params, studies
from pipeline.config.load import load_params
from pipeline.config.models import Engine
from pipeline.config.section import Section
from pipeline.stages.__main__ import stages

# From bottom to top: a room imports rooms of lower rows only.
LAYERS = (
    {"errors"},
    {"config"},
    {"io"},
    {"runtime"},
    {"data", "models", "evaluation", "plots"},
    {"studies"},
    {"cards"},
    {"tracking"},
    {"training", "inference", "promotion", "report"},
    {"stages", "repro"},
    {"cli"},
    {"__main__"},
)

# These compute: where files lie is not theirs to know.
ROOMS_WITHOUT_WORKSPACE = {"data", "models", "plots", "evaluation", "studies", "training"}

# What cannot change a byte of a stage's output, so DVC need not watch it.
NOT_IN_OUTPUTS = {
    "errors": "the texts of errors end a stage, they are in no output",
    "config": "hands on the parameters, which DVC tracks; it adds none, see the test of its defaults",
    "io.paths": "a path that moves makes DVC miss the declared output",
    "io.initialization": "leaves out weights that are read or drawn right afterwards",
    "runtime.process": "starts the stage",
    "runtime.environment": "what MLflow finds when it is imported",
    "runtime.fork_server": "starts the stage",
    "runtime.progress": "what a terminal shows meanwhile",
    "tracking": "a view of the outputs",
}

# Stages that are commands of `python -m pipeline`: they write no output.
OF_THE_COMMAND_LINE = {"check", "sync"}

# One variant uses one family of networks and one engine that trains them; the others cannot affect it.
CHOICES = {
    *(f"pipeline.models.{family}" for family in ("cnn", "mlp", "mobilenet_v2", "regressor")),
    *(f"pipeline.training.{engine}_engine" for engine in get_args(Engine)),
}


@cache
def import_graph(*, with_types: bool = True) -> grimp.ImportGraph:
    return grimp.build_graph(
        "pipeline", include_external_packages=True, exclude_type_checking_imports=not with_types, cache_dir=None
    )


def is_in_no_output(module: str) -> bool:
    """Whether a module or its room is among what cannot change a byte of an output."""
    name = module.removeprefix("pipeline.")
    return name in NOT_IN_OUTPUTS or name.partition(".")[0] in NOT_IN_OUTPUTS


def room_of(module: str) -> str | None:
    """The room of a module of the package: pipeline.plots.data is in plots. None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def room_imports() -> Iterator[tuple[str, str, str]]:
    """Every import between two rooms: (room, imported room, the line as text)."""
    graph = import_graph()
    for importer in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            if importer.startswith("pipeline.") and imported.startswith("pipeline."):
                yield room_of(importer) or "", room_of(imported) or "", f"{importer} -> {imported}"


def test_every_room_has_its_place() -> None:
    rooms = {room_of(module) for module in import_graph().modules if module.startswith("pipeline.")}
    assert rooms - set().union(*LAYERS) == set(), "give the new room its place in LAYERS"


def test_imports_point_downwards() -> None:
    height = {room: row for row, rooms in enumerate(LAYERS) for room in rooms}
    upwards = [
        line
        for room, imported, line in room_imports()
        if room != imported and height.get(imported, 0) >= height.get(room, 0)
    ]
    assert upwards == []


def test_computing_rooms_do_not_know_where_files_lie() -> None:
    assert [
        line
        for room, _, line in room_imports()
        if room in ROOMS_WITHOUT_WORKSPACE and line.endswith("-> pipeline.io.paths")
    ] == []


def test_stages_do_not_import_each_other() -> None:
    assert [line for room, to, line in room_imports() if room == to == "stages"] == []


def test_only_tracking_imports_mlflow() -> None:
    importers = import_graph().find_modules_that_directly_import("mlflow")
    assert {room_of(module) for module in importers} == {"tracking"}


def test_tracking_imports_only_what_it_publishes_from() -> None:
    allowed = {"tracking", "errors", "config", "io", "runtime", "evaluation", "cards"}
    assert [line for room, to, line in room_imports() if room == "tracking" and to not in allowed] == []


def models_of_params() -> list[type[BaseModel]]:
    modules = (data, models, studies, params)
    return sorted(
        {
            item
            for module in modules
            for item in vars(module).values()
            if isinstance(item, type) and issubclass(item, Section)
        },
        key=lambda model: model.__name__,
    )


@pytest.mark.parametrize("model", models_of_params(), ids=lambda model: model.__name__)
def test_an_absent_parameter_means_none(model: type[BaseModel]) -> None:
    """DVC tracks the parameters and not its validators, so no default may be a number that shapes a result."""
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in model.model_fields.items()
        if not field.is_required()
    }
    assert {name: default for name, default in defaults.items() if default} == {}


def path_of(module: str) -> str:
    """The file of a module of the package, relative to the project's root: pipeline/plots/__init__.py."""
    stem = module.replace(".", "/")
    return f"{stem}/__init__.py" if (Path(__file__).parents[1] / stem).is_dir() else f"{stem}.py"


def has_code(path: str) -> bool:
    """Whether a file holds more than a docstring."""
    body = ast.parse((Path(__file__).parents[1] / path).read_text()).body
    return not all(
        (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        for node in body
    )


def code_that_runs(stage_module: str, choices: Collection[str] | None) -> set[str]:
    """The files of the package that shape what a stage writes, by its imports, the indirect and the late ones included.

    A package's `__init__` runs before its modules, so it counts too. With choices, no other family or engine counts.
    """
    graph = import_graph(with_types=False)
    others = CHOICES - set(choices) if choices is not None else set()
    reached: set[str] = set()
    waiting = {stage_module}
    while waiting:
        module = waiting.pop()
        if module in reached or module in others or is_in_no_output(module):
            continue
        reached.add(module)
        waiting |= {name for name in graph.find_modules_directly_imported_by(module) if name.startswith("pipeline.")}
        waiting |= {module.rpartition(".")[0]} - {"pipeline", ""}
        if module == "pipeline.models":
            # It imports the family of a variant by name.
            waiting |= CHOICES if choices is None else set(choices)
    return {path for path in map(path_of, reached) if has_code(path)}


def code_that_dvc_watches(stage: Any, root: Path) -> set[str]:
    """The modules of the package among a stage's dependencies; a folder stands for all modules in it."""
    watched: set[str] = set()
    for dependency in stage.deps:
        path = root / dependency.def_path
        if dependency.def_path.split("/")[0] == "pipeline":
            files = path.rglob("*") if path.is_dir() else [path]
            watched |= {str(file.relative_to(root)) for file in files if file.suffix == ".py"}
    return watched


def differences(stages: list[Any], choices: dict[str, set[str]], root: Path) -> dict[str, dict[str, list[str]]]:
    """What dvc.yaml lacks and what it has too much, per stage; nothing for a stage that agrees."""
    found = {}
    for stage in stages:
        if stage.name in OF_THE_COMMAND_LINE:
            continue
        module = re.search(r"python -m pipeline\.stages (\w+)", stage.cmd)
        if module is None:
            found[stage.name] = {"cmd is not `python -m pipeline.stages STAGE NAME`": [stage.cmd]}
            continue
        runs = code_that_runs(f"pipeline.stages.{module[1]}", choices.get(stage.name.partition("@")[2]))
        watched = code_that_dvc_watches(stage, root)
        if runs != watched:
            found[stage.name] = {"missing": sorted(runs - watched), "superfluous": sorted(watched - runs)}
    return found


def choice(family: str, *engines: str) -> set[str]:
    """The modules of one family and of the engines that train it."""
    return {f"pipeline.models.{family}", *(f"pipeline.training.{engine}_engine" for engine in engines)}


def test_dvc_watches_exactly_the_code_that_a_stage_runs(repository: Path) -> None:
    spec = load_params(repository)
    stages = list(Repo(repository).index.stages)
    assert stages
    # A search tries dense networks; what stands on frozen features needs the network that makes them.
    dense, frozen = choice("mlp", "jax"), choice("mobilenet_v2")
    choices = {
        **{name: choice(variant.family, variant.engine) for name, variant in spec.all_variants.items()},
        **dict.fromkeys(spec.searches, dense),
        **dict.fromkeys([*spec.weights, *spec.features], frozen),
    }
    assert differences(stages, choices, repository) == {}


def test_no_name_of_params_stands_in_a_command(repository: Path) -> None:
    """A name is text that the shell would execute; DVC hands it on in its environment."""
    stages = YAML(typ="safe").load(repository / "dvc.yaml")["stages"]
    commands = {name: stage.get("do", stage)["cmd"] for name, stage in stages.items()}
    assert {name: command for name, command in commands.items() if "${" in command} == {}


def test_dvc_yaml_is_as_dvc_writes_it(repository: Path, tmp_path: Path) -> None:
    """`dvc freeze` and the like then change no other line."""
    copy = tmp_path / "dvc.yaml"
    copy.write_bytes((repository / "dvc.yaml").read_bytes())
    with modify_yaml(copy):
        pass
    assert copy.read_text() == (repository / "dvc.yaml").read_text()


def test_every_stage_module_is_a_stage(repository: Path) -> None:
    commands = " ".join(stage.cmd for stage in Repo(repository).index.stages)
    assert set(stages()) == set(re.findall(r"python -m pipeline\.stages (\w+)", commands))


def test_a_missing_and_a_superfluous_dependency_are_named(repository: Path) -> None:
    stage = SimpleNamespace(
        name="prepare@mnist",
        cmd="python -m pipeline.stages prepare mnist",
        deps=[
            SimpleNamespace(def_path=path)
            for path in (
                "data/raw/mnist",
                "pipeline/stages/prepare.py",
                "pipeline/data/preprocessing.py",
                "pipeline/io/storage.py",
                "pipeline/evaluation/statistics.py",
            )
        ],
    )
    found = differences([stage], {}, repository)["prepare@mnist"]
    assert "pipeline/data/idx.py" in found["missing"]
    assert found["superfluous"] == ["pipeline/evaluation/statistics.py"]


def test_a_variant_depends_on_its_own_family_only() -> None:
    files = code_that_runs("pipeline.stages.train", choice("cnn", "tensorflow"))
    assert {"pipeline/models/cnn.py", "pipeline/training/tensorflow_engine.py"} <= files
    assert not {"pipeline/models/mlp.py", "pipeline/training/jax_engine.py"} & files
