"""The JSON files of training and evaluation as typed records: read here alone, so that damage names file and key."""

import re
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Strict, TypeAdapter, ValidationError

from pipeline.errors import PipelineError
from pipeline.io import storage

# Text is no number, though pydantic would read "0.5" as one.
Number = Annotated[float, Strict()]
Count = Annotated[int, Strict()]
# What a value should have been, by the first word of the type of pydantic's error.
KINDS = {
    "float": "a number",
    "int": "a whole number",
    "string": "text",
    "tuple": "a list",
    "dict": "an object",
    "model": "an object",
}
# What pydantic says before the rest of a message.
PREFIXES = re.compile("^(Value error, |Input should be |Tuple should have )")
REMEDY = "Delete the file, then run `dvc repro` to make it again."


class Record(BaseModel):
    """Part of a JSON file. Keys that it does not know are ignored, so that files may say more."""

    model_config = ConfigDict(frozen=True)


class ClassifierScores(Record):
    """Metrics on one set of images: `loss` is the cross-entropy (nats) plus all penalties, `accuracy` a fraction."""

    loss: Number
    cross_entropy: Number
    accuracy: Number


class MeanAbsoluteError(Record):
    """The error of the finished regressor on the rows that it was trained on."""

    mean_absolute_error: Number


class RegressorScores(MeanAbsoluteError):
    """Metrics on one set of rows: `loss` is the mean absolute error plus all penalties."""

    loss: Number


Scores = TypeVar("Scores", bound=Record)
Finished = TypeVar("Finished", bound=Record)


class Epochs(Record, Generic[Scores]):
    """Metrics of the last epoch, and of the best one by the watched validation metric."""

    last: Scores
    best: Scores


class ParameterCounts(Record):
    """Number of weights: all, and those that training changes."""

    total: Count
    trainable: Count


class TrainingMetrics(Record, Generic[Scores, Finished]):
    """metrics.json of a trained variant; `train_evaluated` are the final weights on all training data, dropout off."""

    parameters: ParameterCounts
    epochs: Count
    best_epoch: Count
    train: Epochs[Scores]
    validation: Epochs[Scores]
    train_evaluated: Finished


ClassifierTraining = TrainingMetrics[ClassifierScores, ClassifierScores]
RegressorTraining = TrainingMetrics[RegressorScores, MeanAbsoluteError]


class ClassifierTestScores(ClassifierScores):
    """Metrics on the test set: also the 95 % interval of the accuracy, exact counts, and the calibration."""

    accuracy_low: Number
    accuracy_high: Number
    num_examples: Count
    num_correct: Count
    macro_f1: Number
    expected_calibration_error: Number
    overconfidence: Number


class ClassifierTest(ClassifierTestScores):
    """What metrics.json of an evaluation holds of one classifier; the digest is of the model that was evaluated."""

    model_sha256: str


class DataStatistics(Record):
    """statistics.json of a dataset or signal: the number of examples and the digest of each split."""

    num_examples: dict[str, Count]
    sha256: dict[str, str]


RecordT = TypeVar("RecordT", bound=Record)
T = TypeVar("T")


def read(path: Path, record: type[RecordT]) -> RecordT:
    """A file as a record. Raises PipelineError naming the file, and the key of what is missing or of another type."""
    return parse(path, storage.read_json(path), record)


def read_training(path: Path, *, is_regressor: bool) -> ClassifierTraining | RegressorTraining:
    """metrics.json of a trained variant. Raises PipelineError as `read` does."""
    return read(path, RegressorTraining) if is_regressor else read(path, ClassifierTraining)


def read_by_name(path: Path, record: type[RecordT]) -> dict[str, RecordT]:
    """A file that holds a record under each name, such as a variant's. Raises PipelineError as `read` does."""
    return {name: parse(path, content, record, name) for name, content in storage.read_json(path).items()}


def parse(path: Path, content: Any, kind: type[T], *keys: str, remedy: str = REMEDY) -> T:
    """The content under `keys` of a file as an object of that kind. Raises PipelineError as `read` does."""
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([*keys, *map(str, first["loc"])])
        expected = KINDS.get(first["type"].partition("_")[0]) or PREFIXES.sub("", first["msg"])
        found = "got none" if first["type"] == "missing" else f"{expected}, got {first['input']!r}"
        raise PipelineError(f"{path}: expected {key}, {found}. {remedy}") from None
