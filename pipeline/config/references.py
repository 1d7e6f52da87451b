"""Checks across sections of the parameters: names that must exist, and values that must agree."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, get_args

from pipeline.config.models import Classifier, MlpBase, VariantBase, VariantGroup
from pipeline.config.studies import Study

if TYPE_CHECKING:
    from pipeline.config.params import Params


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
        for field in ("dataset", "family", "engine"):
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
