"""The section on a `dvc repro` with nothing to do, and projects that are all up to date to measure it on."""

from __future__ import annotations

import copy
import pstats
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from ruamel.yaml import YAML

from benchmarks import pipeline_costs, report
from benchmarks.bench import Bench
from benchmarks.workers import ROOT
from pipeline.config.load import FILES

IDLE = """## Nothing to do

Seconds of a `dvc repro` with nothing to do, by training stages in dvc.yaml, each with as many dependencies and
outputs as a real one, and its variant in params.yaml, the seed in a file of its own.

{by_stages}

The same of the study itself, and of a copy with all its parameters in params.yaml, by turns, both with `--allow-missing
--dry`. DVC reads a file again for every stage that tracks a part of it. The copy is without Git, data and models, which
DVC would look at too.

{study}

Where it goes in {profiled}, under Python's profiler:

{shares}"""

VARIANT = {
    "study": "study",
    "dataset": "digits",
    "family": "mlp",
    "engine": "jax",
    "layers": [{"units": 64, "dropout": 0.2}, {"units": 64, "dropout": 0.2}],
    "optimizer": {"name": "rmsprop", "learning_rate": 0.001},
    "batch_size": 128,
    "epochs": 30,
}
# Of a training stage in dvc.yaml: as many dependencies, outputs and parameters, commands that do nothing.
NUM_DEPENDENCIES = 16
STAGES = {
    "train": {
        "foreach": "${variants}",
        "do": {
            "cmd": "true",
            "params": [{"params/compute.yaml": ["compute"]}, "variants.${key}"],
            "deps": [f"code/{number}.py" for number in range(NUM_DEPENDENCIES)],
            "outs": ["models/${key}.keras"],
            "metrics": [{"results/${key}/metrics.json": {"cache": False}}],
            "plots": [
                {"results/${key}/history.csv": {"cache": False}},
                {"results/${key}/curves.png": {"cache": False}},
            ],
        },
    }
}
# What of DVC does what; hardly anything of it happens within another.
FUNCTIONS = {
    "reading parameters, file by file for every stage": ("dvc/dependency/param.py", "read_param_file"),
    "locking what a stage reads and writes": ("dvc/rwlock.py", "rwlock"),
    "reading dvc.yaml and dvc.lock": ("dvc/repo/stage.py", "load_all"),
    "hashes of dependencies and outputs": ("dvc/output.py", "get_hash"),
    "importing DVC": ("<frozen importlib._bootstrap>", "_find_and_load"),
}
# The stage that brings MLflow up to date.
ALWAYS_RUN = "sync"
# Models that are not on this machine are no reason to make them.
MISSING_MODELS = ("--allow-missing", "--dry")


def idle(bench: Bench) -> str:
    """A `dvc repro` with nothing to do."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        by_stages = _by_stages(bench, folder)
        if bench.plan.is_drawn:
            # The study may have changed since it ran; these have not.
            number = max(bench.plan.num_stages)
            study, profiled = report.NOT_MEASURED, f"{number} such stages"
            shares = shares_of_nothing(folder / str(number))
        else:
            study, profiled = _one_file_or_several(bench, folder / "study"), "the study"
            shares = shares_of_nothing(ROOT, *MISSING_MODELS)
    rows = [[part, f"{100 * share:.0f} %"] for part, share in sorted(shares.items(), key=lambda item: -item[1])]
    rows.append(["all else", f"{100 * (1 - sum(shares.values())):.0f} %"])
    return IDLE.format(
        by_stages=by_stages, study=study, profiled=profiled, shares=report.table(["part", "of the time"], rows)
    )


def _by_stages(bench: Bench, folder: Path) -> str:
    rows = []
    for number, repetitions in bench.plan.num_stages.items():
        make_training_stages(folder / str(number), number)
        seconds = [nothing_to_do(folder / str(number)) for _ in range(repetitions)]
        bench.say(f"{number} stages: {report.spread(seconds)} s")
        rows.append([str(number), report.spread(seconds), f"{1000 * median(seconds) / number:.0f}"])
    return report.table(["stages", "seconds", "ms per stage"], rows)


def _one_file_or_several(bench: Bench, folder: Path) -> str:
    copy_in_one_file(ROOT, folder)
    one, several = [], []
    for _ in range(bench.plan.rounds):
        one.append(nothing_to_do(folder, *MISSING_MODELS))
        several.append(nothing_to_do(ROOT, *MISSING_MODELS))
    bench.say(f"the study: {report.spread(several)} s, in one file {report.spread(one)} s")
    cells = [str(num_stages(ROOT)), report.spread(one), report.spread(several), f"{median(one) / median(several):.2f}"]
    return report.table(["stages", "in one file, s", "as it is, s", "one file / as it is"], [cells])


def nothing_to_do(folder: Path, *options: str) -> float:
    """Seconds of a `dvc repro` that runs nothing but what it always does. Raises RuntimeError when more is to run."""
    taken, said = pipeline_costs.dvc(folder, "repro", *options)
    if set(re.findall("Running stage '([^']+)'", said)) - {ALWAYS_RUN}:
        raise RuntimeError(f"{folder}: expected every stage up to date, DVC says {said[-300:]}")
    return taken


def num_stages(folder: Path) -> int:
    """How many stages dvc.lock knows."""
    return len(YAML(typ="safe").load(folder / "dvc.lock")["stages"])


def shares_of_nothing(folder: Path, *options: str) -> dict[str, float]:
    """Where a `dvc repro` that runs nothing spends its time: the share of each of FUNCTIONS under a profiler."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name).resolve() / "repro.prof"
        pipeline_costs.call(folder, "-m", "cProfile", "-o", str(path), "-m", "dvc", "repro", *options)
        stats = pstats.Stats(str(path))
    seconds = {
        name: sum(
            cumulative
            for (file, _, called), (_, _, _, cumulative, _) in stats.stats.items()  # type: ignore[attr-defined]
            if called == function and file.endswith(module)
        )
        for name, (module, function) in FUNCTIONS.items()
    }
    return {name: value / stats.total_tt for name, value in seconds.items()}  # type: ignore[attr-defined]


def make_training_stages(folder: Path, num_stages: int) -> None:
    """A project of so many training stages, all up to date."""
    # To commit 800 stages would take DVC half an hour: one is, and the others are written down alike.
    _write_project(folder, 1)
    pipeline_costs.dvc(folder, "commit", "--force")
    lock = (folder / "dvc.lock").read_text()
    _write_project(folder, num_stages)
    head, committed = lock.split("stages:\n")
    entries = (committed.replace(_name(0), _name(number)) for number in range(num_stages))
    (folder / "dvc.lock").write_text(f"{head}stages:\n{''.join(entries)}")


def _name(number: int) -> str:
    return f"variant_{number}"


def _write_project(folder: Path, num_stages: int) -> None:
    pipeline_costs.configure(folder)
    (folder / "params").mkdir(exist_ok=True)
    names = [_name(number) for number in range(num_stages)]
    yaml = YAML(typ="safe")
    yaml.dump({"stages": STAGES}, folder / "dvc.yaml")
    # Copies, or YAML would name them all by one anchor.
    variants = {name: copy.deepcopy(VARIANT) for name in names}
    yaml.dump({"variants": variants}, folder / "params.yaml")
    yaml.dump({"compute": {"seed": 1}}, folder / "params" / "compute.yaml")
    files = [f"code/{number}.py" for number in range(NUM_DEPENDENCIES)]
    for name in names:
        files += [f"models/{name}.keras"]
        files += [f"results/{name}/{file}" for file in ("metrics.json", "history.csv", "curves.png")]
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        # Alike for all stages, because their hashes are.
        path.write_text(path.name if path.parent.name != "models" else "model")


def copy_in_one_file(project: Path, folder: Path) -> None:
    """What DVC looks at when there is nothing to do, with all parameters in params.yaml."""
    for name in ("pipeline", "results", "benchmarks", "reported_results.yaml", "docs/findings.md.jinja"):
        source = project / name
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    pipeline_costs.configure(folder)
    yaml = YAML(typ="safe")
    params = {section: value for file in FILES for section, value in yaml.load(project / file).items()}
    yaml.dump(params, folder / "params.yaml")
    stages = yaml.load(project / "dvc.yaml")
    del stages["vars"]
    lock = yaml.load(project / "dvc.lock")
    for content in (stages, lock):
        # They are no part of the comparison, and one of them depends on the files of parameters.
        for name in ("check", ALWAYS_RUN):
            content["stages"].pop(name, None)
    for stage in stages["stages"].values():
        tracked = stage.get("do", stage)
        tracked["params"] = [key for item in tracked["params"] for key in _keys(item)]
    yaml.dump(stages, folder / "dvc.yaml")
    for stage in lock["stages"].values():
        values = {key: value for of_file in stage["params"].values() for key, value in of_file.items()}
        stage["params"] = {"params.yaml": values}
    yaml.dump(lock, folder / "dvc.lock")


def _keys(tracked: str | Mapping[str, list[str]]) -> list[str]:
    """The keys that an item of a stage's parameters names: one of params.yaml, or those of another file."""
    return [tracked] if isinstance(tracked, str) else [key for keys in tracked.values() for key in keys]
