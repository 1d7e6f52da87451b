"""Checks across sections of the parameters: names that must exist, and values that must agree."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pipeline.config.data import EmbeddedImages
from pipeline.config.models import ARCHITECTURE, VARIANT_GROUPS, MlpBase, VariantBase
from pipeline.config.section import NameIn, Section
from pipeline.config.studies import Gate

if TYPE_CHECKING:
    from pipeline.config.params import Params

# Sections whose items are named after items of another section.
NAMED_AFTER = {
    "pictures": "datasets",
    "gates": "tasks",
    "repeated": "variants",
    "repeated_swept": "swept",
    "repeated_derived": "derived",
    "repeated_transfers": "transfers",
    "contrasts": "studies",
    "repeats": "studies",
    "conclusions": "repeats",
}

# What a gate states of the two kinds of models.
THRESHOLDS = {
    "classifier": ("min_accuracy", "min_recall", "max_calibration_error"),
    "regressor": ("max_mean_absolute_error",),
}


def problems(params: Params) -> list[str]:
    """What does not fit together, a line each that begins with its key.

    Where a name is unknown, what would have to agree with its bearer is not checked.
    """
    return [
        *_reference_problems(params),
        *_study_dataset_problems(params),
        *_data_problems(params),
        *_study_problems(params),
        *_task_problems(params),
        *_choice_problems(params),
        *_repeats_problems(params),
        *_variant_problems(params),
    ]


def _unknown(key: str, value: str, known: Collection[str]) -> list[str]:
    if value in known:
        return []
    return [f"{key}: expected one of {', '.join(sorted(known)) or '(none)'}, got {value!r}."]


def _reference_problems(params: Params) -> Iterator[str]:
    """Names that are not in the section that NAMED_AFTER or the NameIn of a field demands."""
    for group, section in NAMED_AFTER.items():
        for name in getattr(params, group):
            yield from _unknown(f"{group}.{name}", name, getattr(params, section))
    items = (
        (f"{group}.{name}", item) for group, section in params if group != "compute" for name, item in section.items()
    )
    for key, item in items:
        fields = type(item).model_fields if isinstance(item, Section) else {}
        for field, info in fields.items():
            for sections in (marker.sections for marker in info.metadata if isinstance(marker, NameIn)):
                known = {name for section in sections for name in getattr(params, section)}
                value = getattr(item, field) or ()
                for name in (value,) if isinstance(value, str) else dict.fromkeys(value):
                    yield from _unknown(f"{key}.{field}", name, known)


def _study_dataset_problems(params: Params) -> Iterator[str]:
    """Items that are about a study, by their `study` or their name, but not about its dataset."""
    for group in ("conclusions", "repeats", "searches", "sweeps", *VARIANT_GROUPS):
        for name, item in getattr(params, group).items():
            study = getattr(item, "study", name)
            key = f"{group}.{name}.study" if hasattr(item, "study") else f"{group}.{name}"
            if study in params.studies and (expected := params.studies[study].dataset) != item.dataset:
                yield f"{key}: study {study} is about {expected}, got a variant on {item.dataset}."


def _data_problems(params: Params) -> Iterator[str]:
    for name, dataset in params.datasets.items():
        key = f"datasets.{name}"
        if len(set(dataset.classes)) < len(dataset.classes):
            yield f"{key}.classes: expected different names, got {list(dataset.classes)}."
        if dataset.keep and len(set(dataset.keep)) != len(dataset.classes):
            num_classes = len(dataset.classes)
            yield f"{key}.keep: expected one label for each of {num_classes} classes, got {list(dataset.keep)}."
        source = params.sources.get(dataset.source)
        if source and dataset.demonstration != isinstance(source, EmbeddedImages):
            expected = str(not dataset.demonstration).lower()
            yield f"{key}.demonstration: expected {expected}, because source {dataset.source} is {source.kind}."
    for name in params.signals.keys() & (params.datasets.keys() | params.studies.keys()):
        yield f"signals.{name}: the name is taken by a dataset or a study. Rename one of them."


def _study_problems(params: Params) -> Iterator[str]:
    for name, study in params.studies.items():
        key = f"studies.{name}"
        shared_from = params.studies.get(study.shared_from)
        if shared_from and shared_from.dataset != study.dataset:
            yield f"{key}.shared_from: expected a study about {study.dataset}, got {study.shared_from!r}."
        if len(set(study.variants)) < len(study.variants):
            yield f"{key}.variants: expected different names, got {list(study.variants)}."
        yield from _sharing_problems(f"{key}.variants", name, params)
        if not any(variant.study == name for variant in params.classifiers.values()):
            expected = "at least one variant with this study as its `study`"
            yield f"{key}: expected {expected}, got none. Remove it or add one."
    for name, contrast in params.contrasts.items():
        key, contrasted = f"contrasts.{name}", params.studies.get(name)
        if contrasted:
            yield from _unknown(f"{key}.baseline", contrast.baseline, contrasted.variants)
            if contrasted.dataset != contrast.dataset:
                yield f"{key}.dataset: expected {contrasted.dataset!r}, as the study has it, got {contrast.dataset!r}."


def _sharing_problems(key: str, name: str, params: Params) -> Iterator[str]:
    """The variants that a study lists are its own, or those of the study that it shares from."""
    study, classifiers = params.studies[name], params.classifiers
    for listed in dict.fromkeys(study.variants):
        variant = classifiers.get(listed)
        home = params.studies.get(variant.study) if variant else None
        # What is wrong with the variant itself is reported under its own key.
        if not variant or not home or variant.study == name or variant.dataset != home.dataset:
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
        key, is_signal = f"tasks.{name}", task.dataset in params.signals
        if task.candidates.partition("/")[0] != task.dataset:
            expected = f"{task.dataset!r}, or a study of it as '{task.dataset}/<study>'"
            yield f"{key}.candidates: expected {expected}, got {task.candidates!r}."
        elif not params.candidates_for(name):
            yield f"{key}.candidates: expected a variant in {task.candidates!r}, got none. Add one."
        if is_signal != (task.metric == "val_mean_absolute_error"):
            expected = "val_mean_absolute_error" if is_signal else "val_accuracy or val_cross_entropy"
            yield f"{key}.metric: expected {expected}, got {task.metric!r}."
        if name in params.gates:
            kind = "regressor" if is_signal else "classifier"
            yield from _gate_problems(f"gates.{name}", params.gates[name], kind)


def _gate_problems(key: str, gate: Gate, kind: str) -> Iterator[str]:
    """A gate has the thresholds of what its task's models give, all of them, and no others."""
    for owner, thresholds in THRESHOLDS.items():
        for threshold in thresholds:
            is_absent = getattr(gate, threshold) is None
            if owner == kind and is_absent:
                yield f"{key}.{threshold}: required of a {kind}, but missing. Add it."
            if owner != kind and not is_absent:
                yield f"{key}.{threshold}: a {kind} has no such metric. Remove it."


def _choice_problems(params: Params) -> Iterator[str]:
    """Searches and sweeps, and the members of sweeps."""
    for name, search in params.searches.items():
        if not search.grid or not all(search.grid):
            yield f"searches.{name}.grid: expected at least one number of units per layer, got {search.grid}."
    for name in params.searches.keys() & params.sweeps.keys():
        yield f"sweeps.{name}: the name is taken by searches.{name}. Rename one of them."
    for name in params.sweeps:
        if not params.members_of(name):
            yield f"sweeps.{name}: expected at least one variant under swept that names it, got none."
    for name, swept in params.swept.items():
        sweep = params.sweeps.get(swept.sweep)
        if sweep and (sweep.study, sweep.dataset) != (swept.study, swept.dataset):
            yield f"swept.{name}.sweep: expected a sweep of the same study and dataset, got {swept.sweep!r}."


def _repeats_problems(params: Params) -> Iterator[str]:
    """Repeats, and what they say of the variants that are repeated."""
    repeated = params.all_repeated
    for study, spec in params.repeats.items():
        members = [name for name, item in repeated.items() if item.repeats == study]
        if not members:
            yield f"repeats.{study}: expected a variant under repeated that names it, got none. Add one."
        elif spec.baseline and spec.baseline not in members:
            yield f"repeats.{study}.baseline: expected one of {', '.join(members)}, got {spec.baseline!r}."
    for group in ("repeated", "repeated_swept", "repeated_derived", "repeated_transfers"):
        section = NAMED_AFTER[group]
        for name, item in getattr(params, group).items():
            variant = getattr(params, section).get(name)
            if variant is None or item.repeats not in params.repeats:
                continue
            if item.repeats not in (studies := params.studies_of(name)):
                yield f"{group}.{name}.repeats: expected one of {', '.join(studies)}, got {item.repeats!r}."
            for field in type(item).model_fields.keys() - {"repeats", "seeds"}:
                stated, expected = getattr(item, field), getattr(variant, field, None)
                if stated != expected:
                    yield f"{group}.{name}.{field}: expected {expected!r}, as {section}.{name} has it, got {stated!r}."


def _variant_problems(params: Params) -> Iterator[str]:
    group_of: dict[str, str] = {}
    for group in VARIANT_GROUPS:
        for name, variant in getattr(params, group).items():
            key = f"{group}.{name}"
            if group_of.setdefault(name, group) != group:
                yield f"{key}: the name is taken by {group_of[name]}.{name}. Rename one of them."
            if group == "warm_started":
                yield from _parent_problems(f"{key}.start_from", variant, params)
            elif variant.start_from is not None:
                yield f"{key}.start_from: only variants under warm_started may have it. Move it there."
            home = params.studies.get(variant.study)
            if group != "regressors" and home and name not in home.variants:
                listed = ", ".join(home.variants)
                yield f"{key}: expected in studies.{variant.study}.variants, got only {listed}. Add it there."
            if isinstance(variant, MlpBase) and (variant.augmentation is None) != (variant.steps_per_epoch is None):
                yield f"{key}.steps_per_epoch: expected together with augmentation, and not without it."
    for name, transfer in params.transfers.items():
        features = params.features.get(transfer.features)
        if features and features.dataset != transfer.dataset:
            yield f"transfers.{name}.features: expected features of {transfer.dataset}, got {transfer.features!r}."
    for name, regressor in params.regressors.items():
        if regressor.study != regressor.dataset:
            yield f"regressors.{name}.study: expected {regressor.dataset!r}, its signal, got {regressor.study!r}."


def _parent_problems(key: str, variant: VariantBase, params: Params) -> Iterator[str]:
    if variant.start_from is None:
        yield f"{key}: required, but missing. Name the variant whose trained weights are the start."
    parent = params.variants.get(variant.start_from or "")
    if parent is None:
        return
    architecture = {"family", *ARCHITECTURE.get(parent.family, ())}
    if (parent.study, parent.dataset) != (variant.study, variant.dataset):
        yield f"{key}: expected a variant of the same study and dataset, got {variant.start_from!r} of {parent.study}."
    elif parent.model_dump(include=architecture) != variant.model_dump(include=architecture):
        yield f"{key}: expected a variant of the same family, blocks and layers, got {variant.start_from!r}."
