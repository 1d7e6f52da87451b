"""Read params.yaml and the files in params, and report what is wrong in them by file and key."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.config.models import VARIANT_GROUPS
from pipeline.config.params import Params
from pipeline.errors import PipelineError

# The sections of each file. DVC reads a file again for every stage that tracks a part of it: the more stages do, the
# less else should be in it.
FILES: Mapping[str, tuple[str, ...]] = {
    "params.yaml": ("variants", "warm_started", "transfers", "regressors"),
    "params/compute.yaml": ("compute",),
    "params/data.yaml": ("sources", "weights", "datasets", "pictures", "signals", "features"),
    "params/derived.yaml": ("sweeps", "swept", "derived"),
    "params/searches.yaml": ("searches",),
    "params/studies.yaml": (
        "studies",
        "conclusions",
        "contrasts",
        "repeats",
        "repeated",
        "repeated_swept",
        "repeated_derived",
        "repeated_transfers",
        "tasks",
        "gates",
    ),
}

FILE_OF = {section: file for file, sections in FILES.items() for section in sections}

# What only the variants of one section state: with it, a variant in another section is in the wrong one.
SECTION_OF_KEY = {"features": "transfers", "layers_from": "derived", "sweep": "swept"}
SECTION_OF_FAMILY = {"mobilenet_v2": "transfers", "regressor": "regressors"}

# Values and characters of one file, aliases unfolded: the full study has some thousands.
MAX_CONTENT = 1_000_000

# What pydantic expects, in the terms of YAML instead of Python.
EXPECTED = {
    "dict_type": "a mapping",
    "invalid_key": "a key that is text",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "string_pattern_mismatch": "text that matches {pattern}",
    "tuple_type": "a list",
}


def load_params(root: Path) -> Params:
    """Read and check the parameters in the FILES below a root. Raises PipelineError naming every offending key."""
    contents = {file: _read(root / file) for file in FILES}
    problems = [
        f"{root / file}: {section}: expected in {FILE_OF[section]}. Move it there."
        for file, content in contents.items()
        for section in content
        if FILE_OF.get(section, file) != file
    ]
    if problems:
        raise PipelineError("\n".join(problems))
    file_of = {**FILE_OF, **{str(section): file for file, content in contents.items() for section in content}}
    try:
        return Params.model_validate({key: value for content in contents.values() for key, value in content.items()})
    except ValidationError as error:
        # Each line begins with a key, which begins with its section.
        lines = ((file_of.get(re.split("[.:]", line)[0], "params.yaml"), line) for line in _describe(error))
        raise PipelineError("\n".join(f"{root / file}: {line}" for file, line in lines)) from None


def _read(path: Path) -> dict[Any, Any]:
    try:
        # The parser that DVC uses: YAML 1.2, in which 1e-4 is a number.
        content = YAML(typ="safe").load(path)
    except FileNotFoundError:
        # The first that is read is params.yaml: where another is missing, the folder is the right one.
        remedy = "Run the command in the folder that holds params.yaml" if path.name == "params.yaml" else "Restore it"
        raise PipelineError(f"{path}: not found. {remedy}.") from None
    except OSError as error:
        raise PipelineError(f"{path}: expected a file that can be read, got: {error.strerror}.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: expected YAML, but it cannot be parsed: {error}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{path}: expected a mapping at the top level, got {type(content).__name__}.")
    if _is_larger(content, MAX_CONTENT):
        raise PipelineError(
            f"{path}: expected at most {MAX_CONTENT:,} values and characters, got more once its aliases (`*name`) are "
            "unfolded. Remove them."
        )
    return content


def _is_larger(content: Any, limit: int) -> bool:
    """Whether a document has more than `limit` values and characters once its aliases are unfolded.

    Aliases let ten lines stand for billions of values, or for endless ones, all of which validation would visit.
    """
    waiting = [content]
    while waiting:
        item = waiting.pop()
        limit -= 1 + len(item) if isinstance(item, Collection) else 1
        if limit < 0:
            return True
        if isinstance(item, Collection) and not isinstance(item, str | bytes):
            waiting += [*item, *item.values()] if isinstance(item, Mapping) else item
    return False


def _describe(error: ValidationError) -> list[str]:
    items = error.errors(include_url=False)
    misplaced = {item["loc"][:2] for item in items if _right_section(item)}
    # In the right section, other keys are required.
    told = [item for item in items if not (item["type"] == "missing" and item["loc"][:2] in misplaced)]
    return [line for item in told for line in _describe_item(item)]


def _describe_item(item: Mapping[str, Any]) -> list[str]:
    key, context, section = _key(item["loc"]), item.get("ctx", {}), _right_section(item)
    # Pydantic quotes the name of the key that decides in a union.
    tag_key = f"{key}.{context.get('discriminator', '').strip(chr(39))}"
    match item["type"]:
        case "value_error":
            return str(context["error"]).splitlines()
        case "extra_forbidden" if section:
            return [f"{key}: only variants under {section} may have it. Move it there."]
        case "extra_forbidden":
            return [f"{key}: unknown key. Remove it, or correct its spelling."]
        case "missing" | "union_tag_not_found" as kind:
            return [f"{key if kind == 'missing' else tag_key}: required, but missing. Add it."]
        case "union_tag_invalid":
            advice = f" Move the variant to {section}." if section else ""
            return [f"{tag_key}: expected one of {context['expected_tags']}, got {context['tag']!r}.{advice}"]
        case kind if kind in EXPECTED:
            return [f"{key}: expected {EXPECTED[kind].format_map(context)}, got {item['input']!r}."]
    return [f"{key}: expected {item['msg'].removeprefix('Input should be ')}, got {item['input']!r}."]


def _right_section(item: Mapping[str, Any]) -> str | None:
    """The section to which a variant belongs that stands in another one."""
    match item:
        case {"type": "extra_forbidden", "loc": (group, _, *_, str(key))} if group in VARIANT_GROUPS:
            return SECTION_OF_KEY.get(key)
        case {"type": "union_tag_invalid", "loc": (group, *_), "ctx": {"tag": family}} if group in VARIANT_GROUPS:
            return SECTION_OF_FAMILY.get(family)
    return None


def _key(location: tuple[int | str, ...]) -> str:
    """The key as it is in the file: without the tag that pydantic puts behind what a union holds."""
    parts = [str(part) for part in location if part != "[key]"]
    is_union = bool(parts) and parts[0] in ("variants", "warm_started", "sources", "weights")
    return ".".join(parts[:2] + parts[3:] if is_union else parts)
