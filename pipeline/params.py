"""params.yaml and the files in params as frozen, typed objects, and the only place that validates them.

What this module hands on is what the files say: a key that is absent means "none", "no" or "off", never a hidden
number. DVC tracks the values themselves, so a stage need not rerun when only this validator changes.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

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
# As published, or below a mirror: never a way out of the folder that it is fetched from or placed in.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
PathBelow = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]
Rate = Annotated[float, Field(ge=0, lt=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Which sections stand in which file. DVC reads a file again for every stage that tracks a part of it: the more stages
# do, the less else should be in it.
FILES: Mapping[str, tuple[str, ...]] = {
    "params.yaml": ("variants", "warm_started", "transfers", "regressors"),
    "params/compute.yaml": ("compute",),
    "params/data.yaml": ("sources", "weights", "datasets", "pictures", "signals", "features"),
    "params/derived.yaml": ("sweeps", "swept", "derived"),
    "params/searches.yaml": ("searches",),
    "params/studies.yaml": ("studies", "conclusions", "contrasts", "repeats", "repeated", "tasks", "gates"),
}
FILE_OF = {section: file for file, sections in FILES.items() for section in sections}
# Values and characters of one file, aliases unfolded: the full study has some thousands.
MAX_CONTENT = 1_000_000
# What pydantic names in Python's words, in those of YAML.
EXPECTED = {
    "dict_type": "a mapping",
    "invalid_key": "a key that is text",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "string_pattern_mismatch": "text that matches {pattern}",
    "tuple_type": "a list",
}
# Strict validation refuses a list where a tuple is declared; YAML has only lists.
type_of_sequence = Field(strict=False)


class Section(BaseModel):
    """A part of the parameters: unknown keys and wrong types are refused, values cannot change."""

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
    sha256: Mapping[FileName, Sha256]


class EmbeddedImages(Section):
    """Small images made without a network, for demonstration: real bundled digits or drawn garments."""

    kind: Literal["embedded"]
    images: Literal["digits", "garments"]
    train_size: PositiveInt
    test_size: PositiveInt
    seed: NonNegativeInt


Source = Annotated[IdxFiles | EmbeddedImages, Field(discriminator="kind")]


class WeightsFile(Section):
    """One published file of a source: where it lies, and the hash of its content (which differs between publishers)."""

    url: str
    sha256: Sha256


class MirroredFile(Section):
    """The place of a file below a mirror, and the hash of its content there."""

    url: PathBelow
    sha256: Sha256


class PublishedWeights(Section):
    """ImageNet weights of a Keras application, without its top.

    `mirrored` is the file's place below a mirror, with the hash of that file; `published` are public files, tried in
    this order.
    """

    kind: Literal["published"]
    architecture: Literal["mobilenet_v2"]
    mirrored: MirroredFile
    published: Annotated[tuple[WeightsFile, ...], type_of_sequence]


class RandomWeights(Section):
    """Untrained weights in place of published ones, for demonstration without a network."""

    kind: Literal["random"]
    architecture: Literal["mobilenet_v2"]
    seed: NonNegativeInt


Weights = Annotated[PublishedWeights | RandomWeights, Field(discriminator="kind")]


class Split(Section):
    """The stratified split of the training images into training and validation.

    Without `train_size`, all that is not for validation is for training.
    """

    validation_size: PositiveInt
    train_size: PositiveInt | None = None
    seed: NonNegativeInt


class Dataset(Section):
    """Images with one label each; `example` is the training image that the study shows.

    `source` names the raw files. With `keep`, only images with these labels are in the dataset, and their labels become
    0, 1, ... in the order of `keep`.
    """

    title: str
    source: Name
    keep: Annotated[tuple[NonNegativeInt, ...], type_of_sequence] = ()
    classes: Annotated[tuple[str, ...], type_of_sequence]
    split: Split
    example: NonNegativeInt


Wave = Annotated[tuple[float, float, float, float], type_of_sequence]


# How a picture file becomes an image of a dataset: as MNIST or as Fashion-MNIST was made.
PictureKind = Literal["digits", "garments"]


class Signal(Section):
    """Waves a sin(b x) + c cos(d x) and their (a, b, c, d).

    x are `num_points` equally spaced points from 0 to `length_in_pi` pi. The parameters of the training, validation and
    test rows are uniform in [0, 1]; those of the `extended` test rows are given. `example` is a wave that is shown.
    `demonstration` marks sizes that are too small for figures to mean anything. A signal is at once a dataset and the
    study of what is learnt from it.
    """

    title: str
    num_points: PositiveInt
    length_in_pi: PositiveFloat
    train_size: PositiveInt
    validation_size: PositiveInt
    test_size: PositiveInt
    seed: NonNegativeInt
    example: Wave
    extended: Annotated[tuple[Wave, ...], Field(strict=False, min_length=1)]
    demonstration: bool = False


class Features(Section):
    """What a frozen network makes of a dataset's images: computed once, trained on by many.

    Images are brought to `size` x `size` by zero padding or bilinear interpolation, their pixels left `raw` (0-255) or
    scaled to [-1, 1] (`symmetric`), and the grey channel repeated to RGB.
    """

    dataset: Name
    weights: Name
    # MobileNetV2 takes nothing smaller.
    size: Annotated[int, Field(ge=32)]
    resize: Literal["pad", "bilinear"]
    pixels: Literal["raw", "symmetric"]


class Study(Section):
    """A group of variants that are compared; one MLflow experiment.

    `tolerance` is how far a test accuracy may lie from the reported one and still count as reproduced, as a fraction;
    without it nothing is judged. `variants` names its classifiers, in the order of tables and plots. `shared_from` is
    the study whose folder holds those of them that are not its own (itself if there are none); with `beside_all` every
    variant of that study is set beside its own when it is compared.
    """

    title: str
    dataset: Name
    tolerance: NonNegativeFloat | None = None
    shared_from: Name
    beside_all: bool = False
    variants: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)]


class Conclusions(Section):
    """A study whose searches and refitted networks are set against what its source concluded."""

    dataset: Name


class Contrast(Section):
    """A study whose variants are each held against one of them, the baseline."""

    dataset: Name
    baseline: Name


class Repeats(Section):
    """A study of which some variants are trained again: `repeats` times each, under seeds of their own."""

    dataset: Name
    repeats: Annotated[int, Field(ge=2)]


class RepeatedVariant(Section):
    """One of them, by the name that it has under `variants`; dataset and family are that variant's, for DVC."""

    study: Name
    dataset: Name
    family: Literal["mlp", "cnn"]


class Task(Section):
    """A registered model and the rule that selects the variant behind it, on validation figures only.

    `candidates` is the folder below results/train of the variants that compete: a dataset, or one of its studies.
    """

    dataset: Name
    candidates: str
    metric: Literal["val_accuracy", "val_cross_entropy", "val_mean_absolute_error"]
    tolerance: NonNegativeFloat
    prefer_fewer_parameters: bool


class Gate(Section):
    """What a version must meet to become a task's champion; every figure is one of the test set.

    With 95 % confidence it must be worse than the champion by less than `margin`, in accuracy (a fraction) or mean
    absolute error. A classifier needs `min_accuracy`, `min_recall` of every class and `max_calibration_error` (expected
    calibration error, a fraction), a regressor `max_mean_absolute_error`. `max_megabytes` (10^6 bytes) is the size of
    the saved model, `max_milliseconds` the median time of one prediction.
    """

    margin: NonNegativeFloat
    min_accuracy: Rate | None = None
    min_recall: Rate | None = None
    max_calibration_error: Rate | None = None
    max_mean_absolute_error: PositiveFloat | None = None
    max_megabytes: PositiveFloat
    max_milliseconds: PositiveFloat


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


class Output(Section):
    """The last layer of a classifier, and the loss that goes with it.

    `softmax` is trained on the categorical cross-entropy; `sigmoid`, one per class, on the binary cross-entropy, mean
    over the classes. `l1` and `l2` penalize the kernel.
    """

    activation: Literal["softmax", "sigmoid"]
    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0


class Augmentation(Section):
    """Random affine changes of each training image, anew in each epoch; pixels beyond the edge repeat the nearest.

    Angles are drawn from [-shear, shear] and [-rotation, rotation], the zoom of each axis from [1 - zoom, 1 + zoom].
    """

    shear_degrees: NonNegativeFloat
    rotation_degrees: NonNegativeFloat
    zoom: Rate


class EarlyStopping(Section):
    """Stop when a validation figure has not improved for `patience` epochs; the last epoch's weights stay."""

    monitor: Literal["val_accuracy", "val_loss"]
    patience: PositiveInt


class ReduceOnPlateau(Section):
    """Multiply the learning rate by `factor` when a validation figure has not improved for `patience` epochs."""

    monitor: Literal["val_accuracy", "val_loss"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: PositiveInt


Objective = Literal["categorical_crossentropy", "binary_crossentropy", "mean_absolute_error"]


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
    """What every model variant states, whatever its family.

    `study` is its home, which names the folder of its outputs; other studies may list it too.
    """

    study: Name
    dataset: Name
    optimizer: Optimizer
    schedule: Annotated[tuple[RateStep, ...], type_of_sequence] = ()
    early_stopping: EarlyStopping | None = None
    reduce_on_plateau: ReduceOnPlateau | None = None
    batch_size: PositiveInt
    epochs: PositiveInt
    start_from: Name | None = None

    @property
    def objective(self) -> Objective:
        """The loss without penalties."""
        return "categorical_crossentropy"


class MlpBase(VariantBase):
    """What multilayer perceptrons state besides their hidden layers.

    `output` is softmax without a penalty if it is absent, `kernel_initializer` (of the hidden layers) Keras's default.
    With `augmentation`, an epoch has `steps_per_epoch` full batches, from as many passes as that takes.
    """

    family: Literal["mlp"]
    kernel_initializer: Literal["he_normal"] | None = None
    output: Output | None = None
    augmentation: Augmentation | None = None
    steps_per_epoch: PositiveInt | None = None

    @property
    def objective(self) -> Objective:
        is_binary = self.output is not None and self.output.activation == "sigmoid"
        return "binary_crossentropy" if is_binary else "categorical_crossentropy"


class MlpVariant(MlpBase):
    """A multilayer perceptron on flattened images."""

    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]


class DerivedVariant(MlpBase):
    """A multilayer perceptron whose hidden layers are the outcome of a search or a sweep."""

    layers_from: Name

    def resolved(self, layers: Sequence[DenseLayer]) -> MlpVariant:
        """The variant with the layers of the outcome."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "layers_from"}
        return MlpVariant(**fields, layers=tuple(layers))


class CnnVariant(VariantBase):
    """Convolutional blocks, then dense layers."""

    family: Literal["cnn"]
    blocks: Annotated[tuple[ConvBlock, ...], type_of_sequence]
    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]


class MobileNetVariant(VariantBase):
    """Batch normalization and dense layers on the pooled features of a frozen MobileNetV2."""

    family: Literal["mobilenet_v2"]
    features: Name
    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]


class RegressorVariant(VariantBase):
    """A multilayer perceptron from a signal (n, num_points) to the parameters of its wave (n, 4), linear at the end."""

    family: Literal["regressor"]
    layers: Annotated[tuple[DenseLayer, ...], type_of_sequence]

    @property
    def objective(self) -> Objective:
        return "mean_absolute_error"


Variant = Annotated[MlpVariant | CnnVariant, Field(discriminator="family")]
Classifier = MlpVariant | CnnVariant | DerivedVariant | MobileNetVariant
VariantGroup = Literal["variants", "warm_started", "swept", "derived", "transfers", "regressors"]


class SearchBlock(Section):
    """What follows each hidden layer of a searched network, as in DenseLayer."""

    batch_norm: bool = False
    dropout: Rate = 0.0


class Search(Section):
    """An exhaustive search over the units of the hidden layers, by stratified k-fold cross-validation.

    `grid` lists the units to try for each hidden layer. The images are those of training and validation together.
    """

    study: Name
    dataset: Name
    grid: Annotated[tuple[Annotated[tuple[PositiveInt, ...], type_of_sequence], ...], type_of_sequence]
    block: SearchBlock
    kernel_initializer: Literal["he_normal"] | None = None
    optimizer: Optimizer
    batch_size: PositiveInt
    epochs: PositiveInt
    folds: Annotated[int, Field(ge=2)]

    @property
    def configurations(self) -> tuple[tuple[int, ...], ...]:
        """The units of every configuration, in the order of the grid."""
        return tuple(itertools.product(*self.grid))

    def layers(self, units: Sequence[int]) -> tuple[DenseLayer, ...]:
        """The hidden layers of a configuration."""
        return tuple(
            DenseLayer(units=number, batch_norm=self.block.batch_norm, dropout=self.block.dropout) for number in units
        )

    def variant(self, units: Sequence[int]) -> MlpVariant:
        """The network of a configuration."""
        return MlpVariant(
            study=self.study,
            dataset=self.dataset,
            family="mlp",
            kernel_initializer=self.kernel_initializer,
            layers=self.layers(units),
            optimizer=self.optimizer,
            batch_size=self.batch_size,
            epochs=self.epochs,
        )


class Sweep(Section):
    """A choice among the variants of `swept` that name it: the best validation accuracy, of equals the first."""

    study: Name
    dataset: Name


class SweptVariant(MlpVariant):
    """A member of a sweep, whose best member gives its layers to a derived variant."""

    sweep: Name


class Params(Section):
    """All that params.yaml and the files in params say.

    Classifiers are in groups, because DVC gives them different dependencies: `variants` start from fresh weights,
    `warm_started` from the trained model of another variant of the same study, `swept` are chosen from, `derived` take
    their layers from a search or a sweep, `transfers` stand on frozen features. `regressors` learn signals.

    `pictures` says of which datasets a picture file can be made an image, and as which of the two. `gates` are by task.
    """

    compute: Compute
    sources: Mapping[Name, Source]
    weights: Mapping[Name, Weights] = {}
    datasets: Mapping[Name, Dataset]
    pictures: Mapping[Name, PictureKind] = {}
    signals: Mapping[Name, Signal] = {}
    features: Mapping[Name, Features] = {}
    studies: Mapping[Name, Study]
    conclusions: Mapping[Name, Conclusions] = {}
    contrasts: Mapping[Name, Contrast] = {}
    repeats: Mapping[Name, Repeats] = {}
    repeated: Mapping[Name, RepeatedVariant] = {}
    tasks: Mapping[Name, Task]
    gates: Mapping[Name, Gate] = {}
    searches: Mapping[Name, Search] = {}
    sweeps: Mapping[Name, Sweep] = {}
    variants: Mapping[Name, Variant]
    warm_started: Mapping[Name, Variant] = {}
    swept: Mapping[Name, SweptVariant] = {}
    derived: Mapping[Name, DerivedVariant] = {}
    transfers: Mapping[Name, MobileNetVariant] = {}
    regressors: Mapping[Name, RegressorVariant] = {}

    @property
    def classifiers(self) -> dict[str, Classifier]:
        """Every classifier of every group."""
        return {**self.variants, **self.warm_started, **self.swept, **self.derived, **self.transfers}

    @property
    def all_variants(self) -> dict[str, Classifier | RegressorVariant]:
        """Every model that is trained."""
        return {**self.classifiers, **self.regressors}

    def variants_of(self, study: str) -> dict[str, Classifier]:
        """The classifiers that a study lists, its own and shared ones, in the order of its list."""
        classifiers = self.classifiers
        return {name: classifiers[name] for name in self.studies[study].variants}

    def studies_of(self, variant: str) -> tuple[str, ...]:
        """The studies that show a variant, its home first; of a regressor that is its signal."""
        home = self.all_variants[variant].study
        others = (name for name, study in self.studies.items() if variant in study.variants and name != home)
        return (home, *others)

    def compared_with(self, study: str) -> dict[str, Classifier]:
        """What is set beside the variants of a study when they are compared, in the order of the other study's list."""
        spec = self.studies[study]
        beside = self.variants_of(spec.shared_from) if spec.beside_all else {}
        own = self.variants_of(study)
        return {name: variant for name, variant in beside.items() if name not in own}

    def members_of(self, sweep: str) -> dict[str, SweptVariant]:
        """The variants that a sweep chooses from, in the order of the file."""
        return {name: variant for name, variant in self.swept.items() if variant.sweep == sweep}

    def repeated_in(self, study: str) -> dict[str, MlpVariant | CnnVariant]:
        """The variants that a study repeats, in the order of the file."""
        return {name: self.variants[name] for name, item in self.repeated.items() if item.study == study}

    def seeds_of(self, study: str) -> range:
        """The seeds of a study's repeats: that of all other trainings, and those that follow it."""
        return range(self.compute.seed, self.compute.seed + self.repeats[study].repeats)

    def candidates_for(self, task: str) -> dict[str, Classifier | RegressorVariant]:
        """The variants that compete for a registered model."""
        dataset, _, study = self.tasks[task].candidates.partition("/")
        return {
            name: variant
            for name, variant in self.all_variants.items()
            if variant.dataset == dataset and study in ("", variant.study)
        }

    def variant_group(self, variant: str) -> VariantGroup:
        """The section that holds a variant. Raises KeyError for an unknown one."""
        for group in get_args(VariantGroup):
            if variant in getattr(self, group):
                return cast(VariantGroup, group)
        raise KeyError(variant)

    def source_of(self, dataset: str) -> IdxFiles | EmbeddedImages:
        """Where the raw files of a dataset come from."""
        return self.sources[self.datasets[dataset].source]

    def is_embedded(self, data: str) -> bool:
        """Whether a dataset or signal is for demonstration, so that its figures must not mix with real ones."""
        if data in self.signals:
            return self.signals[data].demonstration
        return isinstance(self.source_of(data), EmbeddedImages)

    def title_of(self, experiment: str) -> str:
        """The title of a study, which may be a signal."""
        return self.signals[experiment].title if experiment in self.signals else self.studies[experiment].title

    @model_validator(mode="after")
    def _references_exist(self) -> Params:
        problems = [
            *_data_problems(self),
            *_study_problems(self),
            *_task_problems(self),
            *_gate_problems(self),
            *_choice_problems(self),
            *_repeats_problems(self),
            *_variant_problems(self),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self


def load_params(root: Path) -> Params:
    """Read and validate the parameters of a project or workspace, which are in the FILES below its root.

    Raises PipelineError naming the file and every offending key.
    """
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
        paths = ((root / file_of.get(_section(line), "params.yaml"), line) for line in _describe(error))
        raise PipelineError("\n".join(f"{path}: {line}" for path, line in paths)) from None


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


def _section(line: str) -> str:
    """The section that a problem is about; each begins with its key."""
    return line.partition(":")[0].partition(".")[0]


def _is_larger(content: Any, limit: int) -> bool:
    """Whether a document unfolds to more than this: aliases let ten lines stand for a billion values, or for endless
    ones, which validation and its messages would go through one by one."""
    waiting = [content]
    while waiting:
        item = waiting.pop()
        limit -= 1 + len(item) if isinstance(item, Collection) else 1
        if limit < 0:
            return True
        if isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, Collection) and not isinstance(item, str | bytes):
            waiting += item
    return False


def units_text(units: Sequence[int]) -> str:
    """Units of the hidden layers as `512-128`."""
    return "-".join(map(str, units))


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
        case ["variants" | "warm_started" | "sources" | "weights" as group, name, _, *rest]:
            return ".".join([group, name, *rest])
        case parts:
            return ".".join(parts)


def _unknown(key: str, value: str, known: Collection[str]) -> list[str]:
    if value in known:
        return []
    return [f"{key}: expected one of {', '.join(sorted(known)) or '(none)'}, got {value!r}."]


def _data_problems(params: Params) -> list[str]:
    problems = []
    for name, dataset in params.datasets.items():
        key = f"datasets.{name}"
        problems += _unknown(f"{key}.source", dataset.source, params.sources)
        if len(set(dataset.classes)) < len(dataset.classes):
            problems.append(f"{key}.classes: expected different names, got {list(dataset.classes)}.")
        if dataset.keep and len(set(dataset.keep)) != len(dataset.classes):
            problems.append(
                f"{key}.keep: expected one label for each of {len(dataset.classes)} classes, got {list(dataset.keep)}."
            )
    for name in params.pictures:
        problems += _unknown(f"pictures.{name}", name, params.datasets)
    for name, features in params.features.items():
        problems += _unknown(f"features.{name}.dataset", features.dataset, params.datasets)
        problems += _unknown(f"features.{name}.weights", features.weights, params.weights)
    for name in params.signals.keys() & (params.datasets.keys() | params.studies.keys()):
        problems.append(f"signals.{name}: the name is taken by a dataset or a study. Rename one of them.")
    return problems


def _study_problems(params: Params) -> list[str]:
    problems = []
    for name, study in params.studies.items():
        problems += _unknown(f"studies.{name}.dataset", study.dataset, params.datasets)
        problems += _shared_from_problems(f"studies.{name}.shared_from", study, params)
        problems += _list_problems(name, study, params)
        if not any(variant.study == name for variant in params.classifiers.values()):
            problems.append(
                f"studies.{name}: expected at least one variant with this study as its `study`, got none. "
                "Remove it or add one."
            )
    for name, conclusions in params.conclusions.items():
        problems += _membership_of("conclusions", name, name, conclusions.dataset, params)
    for name, contrast in params.contrasts.items():
        unknown = _unknown(f"contrasts.{name}", name, params.studies)
        problems += unknown or _unknown(f"contrasts.{name}.baseline", contrast.baseline, params.studies[name].variants)
        if not unknown and params.studies[name].dataset != contrast.dataset:
            problems.append(
                f"contrasts.{name}.dataset: expected {params.studies[name].dataset!r}, as the study has it, "
                f"got {contrast.dataset!r}."
            )
    return problems


def _shared_from_problems(key: str, study: Study, params: Params) -> list[str]:
    unknown = _unknown(key, study.shared_from, params.studies)
    if unknown or params.studies[study.shared_from].dataset == study.dataset:
        return unknown
    return [f"{key}: expected a study about {study.dataset}, got {study.shared_from!r}."]


def _list_problems(name: str, study: Study, params: Params) -> list[str]:
    """The variants that a study lists: known, each once, and its own or those of the study that it shares from."""
    problems = []
    key, classifiers = f"studies.{name}.variants", params.classifiers
    if len(set(study.variants)) < len(study.variants):
        problems.append(f"{key}: expected different names, got {list(study.variants)}.")
    for listed in dict.fromkeys(study.variants):
        problems += _unknown(key, listed, classifiers) or _sharing_problems(key, name, listed, params)
    return problems


def _sharing_problems(key: str, name: str, listed: str, params: Params) -> list[str]:
    study, variant = params.studies[name], params.classifiers[listed]
    home = params.studies.get(variant.study)
    # What a variant says wrongly of itself is told by its own keys.
    if variant.study == name or home is None or variant.dataset != home.dataset:
        return []
    if variant.dataset != study.dataset:
        return [f"{key}: study {name} is about {study.dataset}, got {listed!r} on {variant.dataset}. Take it out."]
    if variant.study != study.shared_from:
        expected = " or ".join(dict.fromkeys((name, study.shared_from)))
        return [
            f"{key}: expected variants of {expected}, got {listed!r} of {variant.study}. "
            f"Take it out, or set shared_from to {variant.study}."
        ]
    return []


def _task_problems(params: Params) -> list[str]:
    problems = []
    for name, task in params.tasks.items():
        unknown = _unknown(f"tasks.{name}.dataset", task.dataset, {**params.datasets, **params.signals})
        problems += unknown
        if not unknown and task.candidates.partition("/")[0] != task.dataset:
            problems.append(
                f"tasks.{name}.candidates: expected {task.dataset!r}, or a study of it as '{task.dataset}/<study>', "
                f"got {task.candidates!r}."
            )
        elif not unknown and not params.candidates_for(name):
            problems.append(f"tasks.{name}.candidates: expected a variant in {task.candidates!r}, got none. Add one.")
        if not unknown and (task.dataset in params.signals) != (task.metric == "val_mean_absolute_error"):
            expected = (
                "val_mean_absolute_error" if task.dataset in params.signals else "val_accuracy or val_cross_entropy"
            )
            problems.append(f"tasks.{name}.metric: expected {expected}, got {task.metric!r}.")
    return problems


def _gate_problems(params: Params) -> list[str]:
    """A gate has the thresholds of what its task's models give, all of them, and no others."""
    problems = []
    of_classifier = ("min_accuracy", "min_recall", "max_calibration_error")
    for name, gate in params.gates.items():
        unknown = _unknown(f"gates.{name}", name, params.tasks)
        problems += unknown
        if unknown:
            continue
        is_regressor = params.tasks[name].dataset in params.signals
        needed, other = (
            (("max_mean_absolute_error",), of_classifier)
            if is_regressor
            else (of_classifier, ("max_mean_absolute_error",))
        )
        kind = "regressor" if is_regressor else "classifier"
        problems += [
            f"gates.{name}.{key}: required of a {kind}, but missing. Add it."
            for key in needed
            if getattr(gate, key) is None
        ]
        problems += [
            f"gates.{name}.{key}: a {kind} has no such figure. Remove it."
            for key in other
            if getattr(gate, key) is not None
        ]
    return problems


def _choice_problems(params: Params) -> list[str]:
    """Searches and sweeps, and the variants that hang on them."""
    problems = []
    for group in ("searches", "sweeps"):
        for name, choice in getattr(params, group).items():
            problems += _membership_of(f"{group}.{name}", "study", choice.study, choice.dataset, params)
    for name, search in params.searches.items():
        if not search.grid or not all(search.grid):
            problems.append(
                f"searches.{name}.grid: expected at least one number of units per layer, got {search.grid}."
            )
    for name in params.searches.keys() & params.sweeps.keys():
        problems.append(f"sweeps.{name}: the name is taken by searches.{name}. Rename one of them.")
    for name in params.sweeps:
        if not params.members_of(name):
            problems.append(f"sweeps.{name}: expected at least one variant under swept that names it, got none.")
    for name, swept in params.swept.items():
        key = f"swept.{name}"
        unknown = _unknown(f"{key}.sweep", swept.sweep, params.sweeps)
        problems += unknown
        if not unknown and (params.sweeps[swept.sweep].study, params.sweeps[swept.sweep].dataset) != (
            swept.study,
            swept.dataset,
        ):
            problems.append(f"{key}.sweep: expected a sweep of the same study and dataset, got {swept.sweep!r}.")
    for name, derived in params.derived.items():
        problems += _unknown(f"derived.{name}.layers_from", derived.layers_from, {**params.searches, **params.sweeps})
    return problems


def _repeats_problems(params: Params) -> list[str]:
    """Repeats, and what they say of the variants that are repeated."""
    problems = []
    for study, repeats in params.repeats.items():
        problems += _membership_of("repeats", study, study, repeats.dataset, params)
        if not any(item.study == study for item in params.repeated.values()):
            problems.append(f"repeats.{study}: expected a variant under repeated that names it, got none. Add one.")
    for name, item in params.repeated.items():
        key = f"repeated.{name}"
        unknown = _unknown(f"{key}.study", item.study, params.repeats) + _unknown(key, name, params.variants)
        problems += unknown
        if unknown:
            continue
        variant, studies = params.variants[name], params.studies_of(name)
        if item.study not in studies:
            problems.append(f"{key}.study: expected one of {', '.join(studies)}, got {item.study!r}.")
        for field in ("dataset", "family"):
            stated, expected = getattr(item, field), getattr(variant, field)
            if stated != expected:
                problems.append(f"{key}.{field}: expected {expected!r}, as variants.{name} has it, got {stated!r}.")
    return problems


def _variant_problems(params: Params) -> list[str]:
    problems = []
    groups = {group: getattr(params, group) for group in get_args(VariantGroup)}
    seen: dict[str, str] = {}
    for group, variants in groups.items():
        for name, variant in variants.items():
            if name in seen:
                problems.append(f"{group}.{name}: the name is taken by {seen[name]}.{name}. Rename one of them.")
            seen.setdefault(name, group)
            if group != "warm_started" and variant.start_from is not None:
                problems.append(
                    f"{group}.{name}.start_from: only variants under warm_started may have it. Move it there."
                )
    for name, variant in params.warm_started.items():
        problems += _parent_problems(f"warm_started.{name}.start_from", variant, params)
    for name, classifier in params.classifiers.items():
        key = f"{params.variant_group(name)}.{name}"
        problems += _membership_problems(key, name, classifier, params)
        problems += _augmentation_problems(key, classifier)
    for name, transfer in params.transfers.items():
        unknown = _unknown(f"transfers.{name}.features", transfer.features, params.features)
        problems += unknown
        if not unknown and params.features[transfer.features].dataset != transfer.dataset:
            problems.append(
                f"transfers.{name}.features: expected features of {transfer.dataset}, got {transfer.features!r}."
            )
    for name, regressor in params.regressors.items():
        problems += _unknown(f"regressors.{name}.dataset", regressor.dataset, params.signals)
        if regressor.study != regressor.dataset:
            problems.append(
                f"regressors.{name}.study: expected {regressor.dataset!r}, its signal, got {regressor.study!r}."
            )
    return problems


def _augmentation_problems(key: str, variant: Classifier) -> list[str]:
    if not isinstance(variant, MlpBase) or (variant.augmentation is None) == (variant.steps_per_epoch is None):
        return []
    return [f"{key}.steps_per_epoch: expected together with augmentation, and not without it."]


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
    return variant.model_dump(include={"family", "blocks", "layers", "kernel_initializer", "output"})


def _membership_problems(key: str, name: str, variant: VariantBase, params: Params) -> list[str]:
    problems = _unknown(f"{key}.dataset", variant.dataset, params.datasets)
    problems += _membership_of(key, "study", variant.study, variant.dataset, params)
    home = params.studies.get(variant.study)
    if home is not None and name not in home.variants:
        listed = ", ".join(home.variants)
        problems.append(f"{key}: expected in studies.{variant.study}.variants, got only {listed}. Add it there.")
    return problems


def _membership_of(key: str, field: str, study: str, dataset: str, params: Params) -> list[str]:
    unknown = _unknown(f"{key}.{field}", study, params.studies)
    if unknown or params.studies[study].dataset == dataset:
        return unknown
    expected = params.studies[study].dataset
    return [f"{key}.{field}: study {study} is about {expected}, got a variant on {dataset}."]
