"""Checks across sections of the parameters: names that must exist, and values that must agree."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pipeline.config.models import VARIANT_GROUPS, Classifier, MlpBase, VariantBase
from pipeline.config.studies import Study

if TYPE_CHECKING:
    from pipeline.config.params import Params

THRESHOLDS_OF_CLASSIFIERS: tuple[str, ...] = ("min_accuracy", "min_recall", "max_calibration_error")
THRESHOLDS_OF_REGRESSORS: tuple[str, ...] = ("max_mean_absolute_error",)


def problems(params: Params) -> list[str]:
    """What does not fit together, a line each that begins with its key."""
    return [
        *_data_problems(params),
        *_study_problems(params),
        *_task_problems(params),
        *_gate_problems(params),
        *_choice_problems(params),
        *_repeats_problems(params),
        *_variant_problems(params),
    ]


def _unknown(key: str, value: str, known: Collection[str]) -> list[str]:
    if value in known:
        return []
    return [f"{key}: expected one of {', '.join(sorted(known)) or '(none)'}, got {value!r}."]


def _data_problems(params: Params) -> Iterator[str]:
    for name, dataset in params.datasets.items():
        key = f"datasets.{name}"
        yield from _unknown(f"{key}.source", dataset.source, params.sources)
        if len(set(dataset.classes)) < len(dataset.classes):
            yield f"{key}.classes: expected different names, got {list(dataset.classes)}."
        if dataset.keep and len(set(dataset.keep)) != len(dataset.classes):
            num_classes = len(dataset.classes)
            yield f"{key}.keep: expected one label for each of {num_classes} classes, got {list(dataset.keep)}."
    for name in params.pictures:
        yield from _unknown(f"pictures.{name}", name, params.datasets)
    for name, features in params.features.items():
        yield from _unknown(f"features.{name}.dataset", features.dataset, params.datasets)
        yield from _unknown(f"features.{name}.weights", features.weights, params.weights)
    for name in params.signals.keys() & (params.datasets.keys() | params.studies.keys()):
        yield f"signals.{name}: the name is taken by a dataset or a study. Rename one of them."


def _study_problems(params: Params) -> Iterator[str]:
    for name, study in params.studies.items():
        key = f"studies.{name}"
        yield from _unknown(f"{key}.dataset", study.dataset, params.datasets)
        unknown = _unknown(f"{key}.shared_from", study.shared_from, params.studies)
        yield from unknown
        if not unknown and params.studies[study.shared_from].dataset != study.dataset:
            yield f"{key}.shared_from: expected a study about {study.dataset}, got {study.shared_from!r}."
        yield from _list_problems(f"{key}.variants", name, study, params)
        if not any(variant.study == name for variant in params.classifiers.values()):
            expected = "at least one variant with this study as its `study`"
            yield f"{key}: expected {expected}, got none. Remove it or add one."
    for name, conclusions in params.conclusions.items():
        yield from _membership_problems("conclusions", name, name, conclusions.dataset, params)
    for name, contrast in params.contrasts.items():
        key = f"contrasts.{name}"
        if unknown := _unknown(key, name, params.studies):
            yield from unknown
            continue
        study = params.studies[name]
        yield from _unknown(f"{key}.baseline", contrast.baseline, study.variants)
        if study.dataset != contrast.dataset:
            yield f"{key}.dataset: expected {study.dataset!r}, as the study has it, got {contrast.dataset!r}."


def _list_problems(key: str, name: str, study: Study, params: Params) -> Iterator[str]:
    """The variants that a study lists: known, each once, and its own or those of the study that it shares from."""
    if len(set(study.variants)) < len(study.variants):
        yield f"{key}: expected different names, got {list(study.variants)}."
    for listed in dict.fromkeys(study.variants):
        if unknown := _unknown(key, listed, params.classifiers):
            yield from unknown
            continue
        variant = params.classifiers[listed]
        home = params.studies.get(variant.study)
        # What is wrong with the variant itself is reported under its own key.
        if variant.study == name or home is None or variant.dataset != home.dataset:
            continue
        if variant.dataset != study.dataset:
            yield f"{key}: study {name} is about {study.dataset}, got {listed!r} on {variant.dataset}. Take it out."
        elif variant.study != study.shared_from:
            expected = " or ".join(dict.fromkeys((name, study.shared_from)))
            yield (
                f"{key}: expected variants of {expected}, got {listed!r} of {variant.study}. "
                f"Take it out, or set shared_from to {variant.study}."
            )


def _task_problems(params: Params) -> Iterator[str]:
    for name, task in params.tasks.items():
        key = f"tasks.{name}"
        if unknown := _unknown(f"{key}.dataset", task.dataset, {**params.datasets, **params.signals}):
            yield from unknown
            continue
        if task.candidates.partition("/")[0] != task.dataset:
            expected = f"{task.dataset!r}, or a study of it as '{task.dataset}/<study>'"
            yield f"{key}.candidates: expected {expected}, got {task.candidates!r}."
        elif not params.candidates_for(name):
            yield f"{key}.candidates: expected a variant in {task.candidates!r}, got none. Add one."
        is_signal = task.dataset in params.signals
        if is_signal != (task.metric == "val_mean_absolute_error"):
            expected = "val_mean_absolute_error" if is_signal else "val_accuracy or val_cross_entropy"
            yield f"{key}.metric: expected {expected}, got {task.metric!r}."


def _gate_problems(params: Params) -> Iterator[str]:
    """A gate has the thresholds of what its task's models give, all of them, and no others."""
    for name, gate in params.gates.items():
        key = f"gates.{name}"
        if unknown := _unknown(key, name, params.tasks):
            yield from unknown
            continue
        kind, needed, others = "classifier", THRESHOLDS_OF_CLASSIFIERS, THRESHOLDS_OF_REGRESSORS
        if params.tasks[name].dataset in params.signals:
            kind, needed, others = "regressor", others, needed
        for threshold in needed:
            if getattr(gate, threshold) is None:
                yield f"{key}.{threshold}: required of a {kind}, but missing. Add it."
        for threshold in others:
            if getattr(gate, threshold) is not None:
                yield f"{key}.{threshold}: a {kind} has no such metric. Remove it."


def _choice_problems(params: Params) -> Iterator[str]:
    """Searches and sweeps, and the variants that depend on them."""
    for group in ("searches", "sweeps"):
        for name, choice in getattr(params, group).items():
            yield from _membership_problems(f"{group}.{name}", "study", choice.study, choice.dataset, params)
    for name, search in params.searches.items():
        if not search.grid or not all(search.grid):
            yield f"searches.{name}.grid: expected at least one number of units per layer, got {search.grid}."
    for name in params.searches.keys() & params.sweeps.keys():
        yield f"sweeps.{name}: the name is taken by searches.{name}. Rename one of them."
    for name in params.sweeps:
        if not params.members_of(name):
            yield f"sweeps.{name}: expected at least one variant under swept that names it, got none."
    for name, swept in params.swept.items():
        key = f"swept.{name}.sweep"
        if unknown := _unknown(key, swept.sweep, params.sweeps):
            yield from unknown
            continue
        sweep = params.sweeps[swept.sweep]
        if (sweep.study, sweep.dataset) != (swept.study, swept.dataset):
            yield f"{key}: expected a sweep of the same study and dataset, got {swept.sweep!r}."
    for name, derived in params.derived.items():
        yield from _unknown(f"derived.{name}.layers_from", derived.layers_from, {**params.searches, **params.sweeps})


def _repeats_problems(params: Params) -> Iterator[str]:
    """Repeats, and what they say of the variants that are repeated."""
    for study, repeats in params.repeats.items():
        yield from _membership_problems("repeats", study, study, repeats.dataset, params)
        if not any(item.study == study for item in params.repeated.values()):
            yield f"repeats.{study}: expected a variant under repeated that names it, got none. Add one."
    for name, item in params.repeated.items():
        key = f"repeated.{name}"
        if unknown := _unknown(f"{key}.study", item.study, params.repeats) + _unknown(key, name, params.variants):
            yield from unknown
            continue
        variant, studies = params.variants[name], params.studies_of(name)
        if item.study not in studies:
            yield f"{key}.study: expected one of {', '.join(studies)}, got {item.study!r}."
        for field in ("dataset", "family", "engine"):
            stated, expected = getattr(item, field), getattr(variant, field)
            if stated != expected:
                yield f"{key}.{field}: expected {expected!r}, as variants.{name} has it, got {stated!r}."


def _variant_problems(params: Params) -> Iterator[str]:
    group_of: dict[str, str] = {}
    for group in VARIANT_GROUPS:
        for name, variant in getattr(params, group).items():
            if group_of.setdefault(name, group) != group:
                yield f"{group}.{name}: the name is taken by {group_of[name]}.{name}. Rename one of them."
            if group != "warm_started" and variant.start_from is not None:
                yield f"{group}.{name}.start_from: only variants under warm_started may have it. Move it there."
    for name, variant in params.warm_started.items():
        yield from _parent_problems(f"warm_started.{name}.start_from", variant, params)
    for name, classifier in params.classifiers.items():
        yield from _classifier_problems(f"{params.variant_group(name)}.{name}", name, classifier, params)
    for name, transfer in params.transfers.items():
        key = f"transfers.{name}.features"
        if unknown := _unknown(key, transfer.features, params.features):
            yield from unknown
        elif params.features[transfer.features].dataset != transfer.dataset:
            yield f"{key}: expected features of {transfer.dataset}, got {transfer.features!r}."
    for name, regressor in params.regressors.items():
        key = f"regressors.{name}"
        yield from _unknown(f"{key}.dataset", regressor.dataset, params.signals)
        if regressor.study != regressor.dataset:
            yield f"{key}.study: expected {regressor.dataset!r}, its signal, got {regressor.study!r}."


def _parent_problems(key: str, variant: VariantBase, params: Params) -> Iterator[str]:
    if variant.start_from is None:
        yield f"{key}: required, but missing. Name the variant whose trained weights are the start."
        return
    if unknown := _unknown(key, variant.start_from, params.variants):
        yield from unknown
        return
    parent = params.variants[variant.start_from]
    # Training goes on with the parent's model as it is: another architecture stated here would be ignored.
    architecture = {"family", "blocks", "layers", "kernel_initializer", "output"}
    if (parent.study, parent.dataset) != (variant.study, variant.dataset):
        yield f"{key}: expected a variant of the same study and dataset, got {variant.start_from!r} of {parent.study}."
    elif parent.model_dump(include=architecture) != variant.model_dump(include=architecture):
        yield f"{key}: expected a variant of the same family, blocks and layers, got {variant.start_from!r}."


def _classifier_problems(key: str, name: str, variant: Classifier, params: Params) -> Iterator[str]:
    yield from _unknown(f"{key}.dataset", variant.dataset, params.datasets)
    yield from _membership_problems(key, "study", variant.study, variant.dataset, params)
    home = params.studies.get(variant.study)
    if home is not None and name not in home.variants:
        listed = ", ".join(home.variants)
        yield f"{key}: expected in studies.{variant.study}.variants, got only {listed}. Add it there."
    if isinstance(variant, MlpBase) and (variant.augmentation is None) != (variant.steps_per_epoch is None):
        yield f"{key}.steps_per_epoch: expected together with augmentation, and not without it."


def _membership_problems(key: str, field: str, study: str, dataset: str, params: Params) -> Iterator[str]:
    unknown = _unknown(f"{key}.{field}", study, params.studies)
    yield from unknown
    if not unknown and params.studies[study].dataset != dataset:
        expected = params.studies[study].dataset
        yield f"{key}.{field}: study {study} is about {expected}, got a variant on {dataset}."
