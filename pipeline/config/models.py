"""Sections about networks and how they are trained: layers, optimizers, variants, searches and sweeps."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from pipeline.config.section import Fraction, ListOf, Name, NameIn, Section


class Compute(Section):
    """What results depend on besides the model: the random seed, and the number of threads that share a computation."""

    seed: NonNegativeInt
    threads: PositiveInt


class Optimizer(Section):
    """A Keras optimizer; all but the learning rate has Keras's default."""

    name: Literal["adam", "rmsprop", "sgd"]
    learning_rate: PositiveFloat


class DenseLayer(Section):
    """Dense with ReLU, then batch normalization and dropout if asked for.

    `l1` and `l2` penalize the kernel. `activity_l1` penalizes the layer's output, averaged over the batch as Keras 3
    does; Keras 2 summed it, so that a coefficient of Keras 2 with batches of n is n times larger here.
    """

    units: PositiveInt
    dropout: Fraction = 0.0
    batch_norm: bool = False
    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0
    activity_l1: NonNegativeFloat = 0.0


class Output(Section):
    """The last layer of a classifier, and the loss that goes with it.

    `softmax` is trained on the categorical cross-entropy; `sigmoid`, one per class, on the mean binary cross-entropy.
    `l1` and `l2` penalize the kernel.
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
    zoom: Fraction


class EarlyStopping(Section):
    """Stop when a validation metric has not improved for `patience` epochs; the last epoch's weights stay."""

    monitor: Literal["val_accuracy", "val_loss"]
    patience: PositiveInt


class ReduceOnPlateau(Section):
    """Multiply the learning rate by `factor` when a validation metric has not improved for `patience` epochs."""

    monitor: Literal["val_accuracy", "val_loss"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: PositiveInt


# What trains a network: pipeline/training/*_engine.py, of which DVC watches the one that a variant names.
Engine = Literal["jax", "tensorflow"]

Objective = Literal["categorical_crossentropy", "binary_crossentropy", "mean_absolute_error"]


class ConvBlock(Section):
    """Convolution 3x3 with ReLU, then batch normalization if asked for, 2x2 max pooling, and dropout if asked for."""

    filters: PositiveInt
    padding: Literal["same", "valid"]
    dropout: Fraction = 0.0
    batch_norm: bool = False


class RateStep(Section):
    """From this epoch on (counted from 1), train with this learning rate."""

    from_epoch: PositiveInt
    learning_rate: PositiveFloat


class VariantBase(Section):
    """What every variant states, whatever its family. A variant is a network with a way to train it.

    `study` names the folder of its outputs; other studies may list it too. Of the engines, `jax` compiles whole epochs
    of dense networks, and `tensorflow` has the faster convolutions. `start_from` is for the section warm_started.
    """

    study: Annotated[Name, NameIn(("studies",))]
    dataset: Annotated[Name, NameIn(("datasets",))]
    engine: Engine
    optimizer: Optimizer
    schedule: ListOf[RateStep] = ()
    early_stopping: EarlyStopping | None = None
    reduce_on_plateau: ReduceOnPlateau | None = None
    batch_size: PositiveInt
    epochs: PositiveInt
    start_from: Annotated[Name | None, NameIn(("variants",))] = None

    @property
    def objective(self) -> Objective:
        """The loss without penalties."""
        return "categorical_crossentropy"


class MlpBase(VariantBase):
    """What multilayer perceptrons state besides their hidden layers.

    Without `output` it is softmax with no penalty, without `kernel_initializer` (of the hidden layers) Keras's default.
    With `augmentation`, an epoch has `steps_per_epoch` full batches, from as many passes over the data as that takes.
    """

    family: Literal["mlp"]
    engine: Literal["jax"]
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

    layers: ListOf[DenseLayer]


class DerivedVariant(MlpBase):
    """A multilayer perceptron that takes its hidden layers from the outcome of a search or a sweep."""

    layers_from: Annotated[Name, NameIn(("searches", "sweeps"))]

    def resolved(self, layers: Sequence[DenseLayer]) -> MlpVariant:
        """This variant with the hidden layers of the outcome."""
        return MlpVariant(**self.model_dump(exclude={"layers_from"}), layers=tuple(layers))


class CnnVariant(VariantBase):
    """Convolutional blocks, then dense layers."""

    family: Literal["cnn"]
    engine: Literal["tensorflow"]
    blocks: ListOf[ConvBlock]
    layers: ListOf[DenseLayer]


class MobileNetVariant(VariantBase):
    """Batch normalization and dense layers on the pooled features of a frozen MobileNetV2."""

    family: Literal["mobilenet_v2"]
    engine: Literal["jax"]
    features: Annotated[Name, NameIn(("features",))]
    layers: ListOf[DenseLayer]


class RegressorVariant(VariantBase):
    """A multilayer perceptron from a signal (n, num_points) to the parameters of its wave (n, 4), linear at the end."""

    family: Literal["regressor"]
    engine: Literal["jax"]
    study: Name
    dataset: Annotated[Name, NameIn(("signals",))]
    layers: ListOf[DenseLayer]

    @property
    def objective(self) -> Objective:
        return "mean_absolute_error"


Variant = Annotated[MlpVariant | CnnVariant, Field(discriminator="family")]
Classifier = MlpVariant | CnnVariant | DerivedVariant | MobileNetVariant
# What specifies a model completely, as a derived variant does once its layers are known.
Trainable = MlpVariant | CnnVariant | MobileNetVariant | RegressorVariant

# The sections that hold variants.
VariantGroup = Literal["variants", "warm_started", "swept", "derived", "transfers", "regressors"]
VARIANT_GROUPS: tuple[VariantGroup, ...] = get_args(VariantGroup)

# By family, what a warm-started variant has as the variant that it starts from: training goes on with that model.
ARCHITECTURE: Mapping[Any, tuple[str, ...]] = {
    "mlp": ("layers", "kernel_initializer", "output"),
    "cnn": ("blocks", "layers"),
}


class SearchBlock(Section):
    """What follows each hidden layer of a searched network, as in DenseLayer."""

    batch_norm: bool = False
    dropout: Fraction = 0.0


class Search(Section):
    """An exhaustive search over the units of the hidden layers, by stratified k-fold cross-validation.

    `grid` lists the units to try for each hidden layer. The images are those of training and validation together.
    """

    study: Annotated[Name, NameIn(("studies",))]
    dataset: Name
    grid: ListOf[ListOf[PositiveInt]]
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
        return tuple(DenseLayer(units=number, **self.block.model_dump()) for number in units)

    def variant(self, units: Sequence[int]) -> MlpVariant:
        """The network of a configuration."""
        stated = self.model_dump(exclude={"grid", "block", "folds"})
        return MlpVariant(family="mlp", engine="jax", layers=self.layers(units), **stated)


class Sweep(Section):
    """A choice among the variants under swept that name it: the best validation accuracy, among equals the first."""

    study: Annotated[Name, NameIn(("studies",))]
    dataset: Name


class SweptVariant(MlpVariant):
    """A member of a sweep; the best member of a sweep gives its layers to a derived variant."""

    sweep: Annotated[Name, NameIn(("sweeps",))]


def with_architecture(item: Any, variants: Mapping[str, Any]) -> Any:
    """The content of a variant; of what it starts from it has those keys of ARCHITECTURE that it leaves out itself."""
    match item:
        case {"start_from": str(name), "family": str(family)}:
            parent = variants.get(name)
            if isinstance(parent, dict) and parent.get("family") == family:
                return {key: parent[key] for key in ARCHITECTURE.get(family, ()) if key in parent} | item
    return item


def units_text(units: Sequence[int]) -> str:
    """The units of hidden layers as text, such as `512-128`."""
    return "-".join(map(str, units))
