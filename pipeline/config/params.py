"""All parameters of a project as one frozen object, with look-ups that combine several sections."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from pipeline.config import models, references
from pipeline.config.data import Dataset, EmbeddedImages, Features, IdxFiles, PictureKind, Signal, Source, Weights
from pipeline.config.section import Name, Section
from pipeline.config.studies import Conclusions, Contrast, Gate, RepeatedVariant, Repeats, Study, Task


class Params(Section):
    """All that params.yaml and the files in params say.

    Classifiers are in groups, because each needs other dependencies (see docs/architecture.md): `variants` start
    from fresh weights, `warm_started` from the trained model of another variant of the same study, `swept` are the
    members of sweeps, `derived` take their layers from a search or a sweep, `transfers` are trained on frozen features.
    `regressors` learn signals.

    `pictures` lists the datasets for which a picture file can be converted, and how. `gates` are by task.
    """

    compute: models.Compute
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
    repeated_swept: Mapping[Name, RepeatedVariant] = {}
    repeated_derived: Mapping[Name, RepeatedVariant] = {}
    repeated_transfers: Mapping[Name, RepeatedVariant] = {}
    tasks: Mapping[Name, Task]
    gates: Mapping[Name, Gate] = {}
    searches: Mapping[Name, models.Search] = {}
    sweeps: Mapping[Name, models.Sweep] = {}
    variants: Mapping[Name, models.Variant]
    warm_started: Mapping[Name, models.Variant] = {}
    swept: Mapping[Name, models.SweptVariant] = {}
    derived: Mapping[Name, models.DerivedVariant] = {}
    transfers: Mapping[Name, models.MobileNetVariant] = {}
    regressors: Mapping[Name, models.RegressorVariant] = {}

    @property
    def classifiers(self) -> dict[str, models.Classifier]:
        """Every classifier of every group."""
        return {**self.variants, **self.warm_started, **self.swept, **self.derived, **self.transfers}

    @property
    def all_variants(self) -> dict[str, models.Classifier | models.RegressorVariant]:
        """Every model that is trained."""
        return {**self.classifiers, **self.regressors}

    def variants_of(self, study: str) -> dict[str, models.Classifier]:
        """The classifiers that a study lists, its own and shared ones, in the order of its list."""
        classifiers = self.classifiers
        return {name: classifiers[name] for name in self.studies[study].variants}

    def studies_of(self, variant: str) -> tuple[str, ...]:
        """The studies that show a variant, first its own; for a regressor that is its signal."""
        home = self.all_variants[variant].study
        others = (name for name, study in self.studies.items() if variant in study.variants and name != home)
        return (home, *others)

    def compared_with(self, study: str) -> dict[str, models.Classifier]:
        """The other study's variants that a study with `beside_all` is compared with, in the order of its list."""
        spec = self.studies[study]
        beside = self.variants_of(spec.shared_from) if spec.beside_all else {}
        own = self.variants_of(study)
        return {name: variant for name, variant in beside.items() if name not in own}

    def members_of(self, sweep: str) -> dict[str, models.SweptVariant]:
        """The variants that a sweep chooses from, in the order of the file."""
        return {name: variant for name, variant in self.swept.items() if variant.sweep == sweep}

    @property
    def all_repeated(self) -> dict[str, RepeatedVariant]:
        """Every variant that is trained under several seeds, in groups like those of the variants."""
        return {**self.repeated, **self.repeated_swept, **self.repeated_derived, **self.repeated_transfers}

    def repeated_in(self, study: str) -> dict[str, models.Classifier]:
        """The variants that a study compares over seeds, in the order of its list."""
        repeated = {name for name, item in self.all_repeated.items() if item.repeats == study}
        return {name: variant for name, variant in self.variants_of(study).items() if name in repeated}

    def seed_of(self, variant: str, repeat: int = 0) -> int:
        """The seed (32 bits) of a variant's training, of `compute.seed` and its name; repeats from 1 on have others.

        With one seed for all, networks of other sizes see the same batches in the same order, and their results are not
        independent. Searches take `compute.seed` itself.
        """
        text = f"{self.compute.seed}/{variant}/{repeat}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])

    def seeds_of(self, variant: str) -> list[int]:
        """The seeds of a repeated variant: first that of its own training."""
        return [self.seed_of(variant, repeat) for repeat in range(self.all_repeated[variant].seeds)]

    def candidates_for(self, task: str) -> dict[str, models.Classifier | models.RegressorVariant]:
        """The variants that compete for a registered model."""
        dataset, _, study = self.tasks[task].candidates.partition("/")
        return {
            name: variant
            for name, variant in self.all_variants.items()
            if variant.dataset == dataset and study in ("", variant.study)
        }

    def variant_group(self, variant: str) -> models.VariantGroup:
        """The section that holds a variant. Raises KeyError for an unknown one."""
        for group in models.VARIANT_GROUPS:
            if variant in getattr(self, group):
                return group
        raise KeyError(variant)

    def source_of(self, dataset: str) -> IdxFiles | EmbeddedImages:
        """Where the raw files of a dataset come from."""
        return self.sources[self.datasets[dataset].source]

    def is_embedded(self, data: str) -> bool:
        """Whether a dataset or signal is for demonstration, so that its metrics must not mix with real ones."""
        return (self.signals.get(data) or self.datasets[data]).demonstration

    def title_of(self, experiment: str) -> str:
        """The title of a study, which may be a signal."""
        return self.signals[experiment].title if experiment in self.signals else self.studies[experiment].title

    @model_validator(mode="before")
    @classmethod
    def _warm_started_have_the_layers_of_their_start(cls, content: Any) -> Any:
        """Fill in what variants under `warm_started` leave out: the architecture of those that they start from."""
        match content:
            case {"warm_started": dict(warm_started), "variants": dict(variants), **rest}:
                filled = {name: models.with_architecture(item, variants) for name, item in warm_started.items()}
                return {**rest, "warm_started": filled, "variants": variants}
        return content

    @model_validator(mode="after")
    def _references_exist(self) -> Params:
        problems = references.problems(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self
