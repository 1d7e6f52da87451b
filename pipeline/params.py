"""params.yaml as frozen, typed objects, and the only place that validates it.

What this module hands on is what the file says: a key that is absent means "none", "no" or "off", never a hidden
number. DVC tracks the values themselves, so a stage need not rerun when only this validator changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError

# DVC silently drops integer keys, reads dots as paths, and turns `yes` into a boolean.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]
Rate = Annotated[float, Field(ge=0, lt=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# What pydantic names in Python's words, in those of YAML.
EXPECTED = {
    "dict_type": "a mapping",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "string_pattern_mismatch": "text that matches {pattern}",
    "tuple_type": "a list",
}
# Strict validation refuses a list where a tuple is declared; YAML has only lists.
type_of_sequence = Field(strict=False)


class Section(BaseModel):
    """A part of params.yaml: unknown keys and wrong types are refused, values cannot change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Compute(Section):
    """What results depend on besides the model: the seed and the number of threads that sums are split over."""

    seed: NonNegativeInt
    threads: PositiveInt


class IdxFiles(Section):
    """Four IDX files that are published on the web.

    `folder` is their place below a mirror, `urls` are the public folders that hold them, `sha256` maps each file name
    to the hash of its decompressed content.
    """

    kind: Literal["idx_files"]
    folder: Name
    urls: Annotated[tuple[str, ...], type_of_sequence]
    sha256: Mapping[str, Sha256]


class EmbeddedImages(Section):
    """Small images made without a network, for demonstration: real bundled digits or drawn garments."""

    kind: Literal["embedded"]
    images: Literal["digits", "garments"]
    train_size: PositiveInt
    test_size: PositiveInt
    seed: NonNegativeInt


class Split(Section):
    """The stratified split of the training images into training and validation."""

    validation_size: PositiveInt
    seed: NonNegativeInt


class Dataset(Section):
    """Images with one label each; `example` is the training image that the study shows."""

    title: str
    source: Annotated[IdxFiles | EmbeddedImages, Field(discriminator="kind")]
    classes: Annotated[tuple[str, ...], type_of_sequence]
    split: Split
    example: NonNegativeInt


class Study(Section):
    """A group of variants that are compared; one MLflow experiment.

    `tolerance` is how far a test accuracy may lie from the reported one and still count as reproduced, as a fraction.
    `shared_from` names the study whose folder holds the variants that this one also lists (itself if there are none).
    """

    title: str
    dataset: Name
    tolerance: NonNegativeFloat
    shared_from: Name


class Task(Section):
    """A registered model and the rule that selects the variant behind it, on validation figures only."""

    dataset: Name
    metric: Literal["val_accuracy", "val_cross_entropy"]
    tolerance: NonNegativeFloat
    prefer_fewer_parameters: bool


class Optimizer(Section):
    """A Keras optimizer with its defaults, but for the learning rate."""

    name: Literal["adam", "rmsprop", "sgd"]
    learning_rate: PositiveFloat


class DenseLayer(Section):
    """Dense(ReLU), then batch normalization, then dropout, each if asked for.

    `l1` and `l2` penalize the kernel. `activity_l1` penalizes the layer's output, averaged over the batch as Keras 3
    does: a coefficient that an older Keras summed over a batch of n is n times larger here.
    """

    units: PositiveInt
    dropout: Rate = 0.0
    batch_norm: bool = False
    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0
    activity_l1: NonNegativeFloat = 0.0


class ConvBlock(Section):
    """Conv 3x3 (ReLU), then batch normalization if asked for, then 2x2 max pooling, then dropout if asked for."""

    filters: PositiveInt
    padding: Literal["same", "valid"]
    dropout: Rate = 0.0
    batch_norm: bool = False


class RateStep(Section):
    """From this epoch on (counted from 1), train with this learning rate."""

    from_epoch: PositiveInt
    learning_rate: PositiveFloat


class VariantBase(Section):
    """What every model variant states, whatever its family."""

    study: Name
    also_in: Annotated[tuple[Name, ...], type_of_sequence] = ()
    dataset: Name
    optimizer: Optimizer
    schedule: Annotated[tuple[RateStep, ...], type_of_sequence] = ()
    batch_size: PositiveInt
    epochs: PositiveInt
    start_from: Name | None = None

    @property
    def studies(self) -> tuple[str, ...]:
        return (self.study, *self.also_in)


class MlpVariant(VariantBase):
    """A multilayer perceptron on flattened images."""

    family: Literal["mlp"]
    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]


class CnnVariant(VariantBase):
    """Convolutional blocks, then dense layers."""

    family: Literal["cnn"]
    blocks: Annotated[tuple[ConvBlock, ...], type_of_sequence]
    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]


Variant = Annotated[MlpVariant | CnnVariant, Field(discriminator="family")]


class Params(Section):
    """The whole of params.yaml.

    `variants` start from fresh weights, `warm_started` from the trained model of another variant of the same study:
    two groups because DVC gives them different dependencies.
    """

    compute: Compute
    datasets: Mapping[Name, Dataset]
    studies: Mapping[Name, Study]
    tasks: Mapping[Name, Task]
    variants: Mapping[Name, Variant]
    warm_started: Mapping[Name, Variant] = {}

    @property
    def all_variants(self) -> dict[str, MlpVariant | CnnVariant]:
        return {**self.variants, **self.warm_started}

    def variants_of(self, study: str) -> dict[str, MlpVariant | CnnVariant]:
        """The variants that a study lists, its own and shared ones, in the order of the file."""
        return {name: variant for name, variant in self.all_variants.items() if study in variant.studies}

    def candidates_for(self, task: str) -> dict[str, MlpVariant | CnnVariant]:
        """The variants that compete for a registered model: all that were trained on its dataset."""
        dataset = self.tasks[task].dataset
        return {name: variant for name, variant in self.all_variants.items() if variant.dataset == dataset}

    def variant_group(self, variant: str) -> Literal["variants", "warm_started"]:
        return "variants" if variant in self.variants else "warm_started"

    @model_validator(mode="after")
    def _references_exist(self) -> Params:
        problems = [*_dataset_problems(self), *_study_problems(self), *_task_problems(self), *_variant_problems(self)]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def load_params(path: Path) -> Params:
    """Read and validate params.yaml.

    Raises PipelineError naming the file and every offending key.
    """
    try:
        # The parser that DVC uses: YAML 1.2, in which 1e-4 is a number.
        content = YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise PipelineError(f"{path}: not found. Run the command in the folder that holds params.yaml.") from None
    except OSError as error:
        raise PipelineError(f"{path}: expected a file that can be read, got: {error.strerror}.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: expected YAML, but it cannot be parsed: {error}") from None
    if not isinstance(content, dict):
        raise PipelineError(f"{path}: expected a mapping at the top level, got {type(content).__name__}.")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise PipelineError("\n".join(f"{path}: {line}" for line in _describe(error))) from None


def require(mapping: Mapping[str, Any], name: str, what: str) -> Any:
    """Look up a name that a user gave. Raises PipelineError listing the known names."""
    if name not in mapping:
        raise PipelineError(f"unknown {what} {name!r}; expected one of: {', '.join(sorted(mapping)) or '(none)'}.")
    return mapping[name]


def _describe(error: ValidationError) -> list[str]:
    return [line for item in error.errors(include_url=False) for line in _describe_item(item)]


def _describe_item(item: Mapping[str, Any]) -> list[str]:
    key, kind, context = _key(item["loc"]), item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return [f"{key}: unknown key. Remove it, or correct its spelling."]
    if kind == "value_error":
        return str(context["error"]).splitlines()
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        # Pydantic quotes the name of the key that decides.
        key = f"{key}.{context['discriminator'].strip(chr(39))}"
    if kind in ("missing", "union_tag_not_found"):
        return [f"{key}: required, but missing. Add it."]
    if kind == "union_tag_invalid":
        return [f"{key}: expected one of {context['expected_tags']}, got {context['tag']!r}."]
    expected = EXPECTED[kind].format_map(context) if kind in EXPECTED else item["msg"].removeprefix("Input should be ")
    return [f"{key}: expected {expected}, got {item['input']!r}."]


def _key(location: tuple[int | str, ...]) -> str:
    """The key as it stands in the file: without the tag that pydantic puts behind what a union holds."""
    match [str(part) for part in location if part != "[key]"]:
        case ["variants" | "warm_started" as group, name, _, *rest]:
            return ".".join([group, name, *rest])
        case ["datasets", name, "source", _, *rest]:
            return ".".join(["datasets", name, "source", *rest])
        case parts:
            return ".".join(parts)


def _unknown(key: str, value: str, known: Mapping[str, Any]) -> list[str]:
    if value in known:
        return []
    return [f"{key}: expected one of {', '.join(sorted(known)) or '(none)'}, got {value!r}."]


def _dataset_problems(params: Params) -> list[str]:
    return [
        f"datasets.{name}.classes: expected different names, got {list(dataset.classes)}."
        for name, dataset in params.datasets.items()
        if len(set(dataset.classes)) < len(dataset.classes)
    ]


def _study_problems(params: Params) -> list[str]:
    problems = []
    for name, study in params.studies.items():
        problems += _unknown(f"studies.{name}.dataset", study.dataset, params.datasets)
        problems += _shared_from_problems(f"studies.{name}.shared_from", study, params)
        if not params.variants_of(name):
            problems.append(
                f"studies.{name}: expected at least one variant of this study, got none. Remove it or add one."
            )
    return problems


def _shared_from_problems(key: str, study: Study, params: Params) -> list[str]:
    unknown = _unknown(key, study.shared_from, params.studies)
    if unknown or params.studies[study.shared_from].dataset == study.dataset:
        return unknown
    return [f"{key}: expected a study about {study.dataset}, got {study.shared_from!r}."]


def _task_problems(params: Params) -> list[str]:
    problems = []
    for name, task in params.tasks.items():
        problems += _unknown(f"tasks.{name}.dataset", task.dataset, params.datasets)
    return problems


def _variant_problems(params: Params) -> list[str]:
    problems = []
    for name in params.variants.keys() & params.warm_started.keys():
        problems.append(f"warm_started.{name}: the name is taken by variants.{name}. Rename one of them.")
    for name, variant in params.variants.items():
        if variant.start_from is not None:
            problems.append(f"variants.{name}.start_from: only variants under warm_started may have it. Move it there.")
    for name, variant in params.warm_started.items():
        problems += _parent_problems(f"warm_started.{name}.start_from", variant, params)
    for name, variant in params.all_variants.items():
        problems += _membership_problems(f"{params.variant_group(name)}.{name}", variant, params)
    return problems


def _parent_problems(key: str, variant: VariantBase, params: Params) -> list[str]:
    if variant.start_from is None:
        return [f"{key}: required, but missing. Name the variant whose trained weights are the start."]
    unknown = _unknown(key, variant.start_from, params.variants)
    if unknown:
        return unknown
    parent = params.variants[variant.start_from]
    if (parent.study, parent.dataset) != (variant.study, variant.dataset):
        return [
            f"{key}: expected a variant of the same study and dataset, got {variant.start_from!r} of {parent.study}."
        ]
    # Training goes on with the parent's model as it is: what the variant says of it otherwise would be ignored.
    if _architecture(parent) != _architecture(variant):
        return [f"{key}: expected a variant of the same family, blocks and layers, got {variant.start_from!r}."]
    return []


def _architecture(variant: VariantBase) -> dict[str, Any]:
    return variant.model_dump(include={"family", "blocks", "layers"})


def _membership_problems(key: str, variant: VariantBase, params: Params) -> list[str]:
    problems = _unknown(f"{key}.dataset", variant.dataset, params.datasets)
    for field, study in [("study", variant.study), *(("also_in", study) for study in variant.also_in)]:
        unknown = _unknown(f"{key}.{field}", study, params.studies)
        problems += unknown
        if not unknown and params.studies[study].dataset != variant.dataset:
            expected = params.studies[study].dataset
            problems.append(f"{key}.{field}: study {study} is about {expected}, got a variant on {variant.dataset}.")
    if len(set(variant.studies)) < len(variant.studies):
        listed = list(variant.also_in)
        problems.append(f"{key}.also_in: expected studies other than {variant.study}, each once, got {listed}.")
    for study in variant.also_in:
        if study in params.studies and params.studies[study].shared_from != variant.study:
            shared_from = params.studies[study].shared_from
            problems.append(
                f"{key}.also_in: expected studies.{study}.shared_from to be {variant.study!r}, got {shared_from!r}."
            )
    return problems
