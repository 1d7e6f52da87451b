"""params.yaml and the files in params: how they are read, and which section is in which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml
from ruamel.yaml import YAML

from pipeline.config.load import FILE_OF, FILES, load_params
from pipeline.config.params import Params
from pipeline.errors import PipelineError
from tests import params_files
from tests.config.small_params import fresh


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "1E-4"])
def test_numbers_are_read_as_dvc_reads_them(root: Path, text: str) -> None:
    """YAML 1.1, which other parsers read, takes 1e-4 for text."""
    file = root / "params.yaml"
    file.write_text(file.read_text().replace("learning_rate: 0.001", f"learning_rate: {text}"))
    ours = load_params(root).variants["deep"].optimizer.learning_rate
    theirs = parse_yaml(file.read_text(), str(file))["variants"]["deep"]["optimizer"]["learning_rate"]
    assert (ours, theirs) == (0.0001, 0.0001)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("variants: [1, 2", "line 1, column"),
        ("a: 1\n\tb: 2", "line 2, column 1"),
        ("compute: {seed: 1}\ncompute: {seed: 2}", 'duplicate key "compute"'),
        ("compute: !!python/object/apply:os.getcwd []", "python/object/apply:os.getcwd"),
        ("compute: !!python/object:os.system {}", "python/object:os.system"),
        ("compute: !!python/name:os.system", "python/name:os.system"),
        ("compute: !!python/module:os", "python/module:os"),
        ("compute: !!python/object/new:os.system [touch pwned]", "python/object/new:os.system"),
        ("compute: !mine {seed: 1}", "!mine"),
    ],
)
def test_what_is_not_yaml(root: Path, text: str, named: str) -> None:
    file = root / "params.yaml"
    file.write_text(text)
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    assert str(raised.value).startswith(f"{file}: expected YAML, but it cannot be parsed: ")
    assert named in str(raised.value)


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]" for depth in range(1, 10)]
)


@pytest.mark.parametrize(
    "text", [BOMB, "compute: &all {seed: *all}", "compute: &all [*all, *all]"], ids=["wide", "endless", "both"]
)
def test_a_few_lines_that_stand_for_billions_of_values(root: Path, text: str) -> None:
    file = root / "params.yaml"
    file.write_text(text)
    with pytest.raises(PipelineError, match="expected at most 1,000,000 values and characters, got more"):
        load_params(root)


def test_an_alias_is_no_offence(root: Path) -> None:
    shared = {"name": "adam", "learning_rate": 0.001}
    content = fresh()
    for name in ("deep", "wide"):
        content["variants"][name]["optimizer"] = shared
    params_files.write(root, content)
    assert "optimizer: *" in (root / "params.yaml").read_text()
    load_params(root)


def test_what_is_not_text(root: Path) -> None:
    (root / "params.yaml").write_bytes(b"compute: \x80\x81")
    with pytest.raises(PipelineError, match="expected YAML, but it cannot be parsed"):
        load_params(root)


@pytest.mark.parametrize(("text", "kind"), [("", "NoneType"), ("- compute", "list"), ("compute", "str"), ("3", "int")])
def test_the_top_level_is_a_mapping(root: Path, text: str, kind: str) -> None:
    file = root / "params.yaml"
    file.write_text(text)
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    assert str(raised.value) == f"{file}: expected a mapping at the top level, got {kind}."


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as raised:
        load_params(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path / 'params.yaml'}: not found. Run the command in the folder that holds params.yaml."
    )


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.mkdir()
    with pytest.raises(PipelineError) as raised:
        load_params(tmp_path)
    assert str(raised.value) == f"{file}: expected a file that can be read, got: Is a directory."


@pytest.mark.parametrize("name", [file for file in FILES if file != "params.yaml"])
def test_a_missing_file_beside_it(root: Path, name: str) -> None:
    (root / name).unlink()
    with pytest.raises(PipelineError, match=re.escape(f"{root / name}: not found. Restore it.")):
        load_params(root)


def test_every_section_has_a_file() -> None:
    assert sorted(section for sections in FILES.values() for section in sections) == sorted(Params.model_fields)


def test_a_section_in_a_file_where_dvc_does_not_look_for_it(root: Path) -> None:
    file = root / "params.yaml"
    file.write_text(f"{file.read_text()}gates: {{}}\nsearches: {{}}\n")
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    assert str(raised.value).splitlines() == [
        f"{file}: gates: expected in params/studies.yaml. Move it there.",
        f"{file}: searches: expected in params/searches.yaml. Move it there.",
    ]


def test_what_is_no_section_is_told_with_its_file(root: Path) -> None:
    file = root / "params" / "data.yaml"
    file.write_text(f"{file.read_text()}datset: 3\n7: 3\n'a.b': 3\n")
    with pytest.raises(PipelineError) as raised:
        load_params(root)
    assert str(raised.value).splitlines() == [
        f"{file}: datset: unknown key. Remove it, or correct its spelling.",
        f"{file}: 7: expected a key that is text, got 7.",
        # What cannot be told apart from a key below `a` is told with the first file.
        f"{root / 'params.yaml'}: a.b: unknown key. Remove it, or correct its spelling.",
    ]


def test_dvc_looks_for_every_section_where_it_is(repository: Path) -> None:
    content = YAML(typ="safe").load(repository / "dvc.yaml")
    assert content["vars"] == [file for file in FILES if file != "params.yaml"]
    tracked = [item for stage in content["stages"].values() for item in stage.get("do", stage).get("params", ())]
    pairs = [
        (file, key.partition(".")[0])
        for item in tracked
        for file, keys in (item if isinstance(item, dict) else {"params.yaml": [item]}).items()
        for key in keys
    ]
    assert {section for _, section in pairs} == set(FILE_OF) - {"pictures", "gates"}
    assert [(file, section) for file, section in pairs if FILE_OF[section] != file] == []


def test_another_name_of_a_class_trains_nothing(repository: Path) -> None:
    content = YAML(typ="safe").load(repository / "dvc.yaml")["stages"]
    stages = {name: stage.get("do", stage) for name, stage in content.items()}
    trains = {name for name, stage in stages.items() if "pipeline/training/__init__.py" in stage.get("deps", ())}
    assert {"train", "search", "repeat", "transfer"} <= trains
    tracked = {name for name, stage in stages.items() if "datasets" in str(stage.get("params"))}
    assert trains & tracked == set()
