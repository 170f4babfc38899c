"""Cluster resources of the jobs: the defaults of the rules, changed by configs/cluster.yaml.

The names are those of Snakemake's Slurm executor. Resources that a job does not request are None,
which Snakemake omits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from rankdet.cluster.slurm import QueuedJob, comment_of, dependency_on
from rankdet.errors import InputError, nearest
from rankdet.workflow.inputs import Inputs

# The rules whose jobs may use a GPU; only a training may use several.
WITH_GPU = ("train", "predict", "search_sample", "search_train")
SPREAD = "train"
RESOURCES = ("mem_mb", "runtime", "slurm_partition", "slurm_account", "slurm_extra")
DEVICES = (
    *("gpu", "gpu_model", "gres", "processes", "passes", "nodes"),
    *("mpi", "tasks", "tasks_per_gpu"),
)


class JobResources:
    """The ``resources`` and ``threads`` of every rule.

    Args:
        settings: ``cluster`` of the configuration, validated.
        inputs: for presets and entries.
        left_over: jobs that a killed Snakemake left in the queue. If one is running, Slurm starts
            the same job again only after it has ended (it then resumes from its checkpoint).

    Raises:
        InputError: see `check_rows`.
    """

    def __init__(
        self, settings: Mapping[str, Any], inputs: Inputs, left_over: Iterable[QueuedJob] = ()
    ) -> None:
        entries = [entry.entry_id for entry in inputs.catalogue]
        check_rows(settings, inputs.presets, entries)
        self.settings = settings
        self.inputs = inputs
        self.left_over = list(left_over)

    def of(self, rule: str, **default: Any) -> dict[str, Callable[..., Any]]:
        """Return the ``resources`` of a rule, each a function of the job.

        Args:
            rule: its name.
            default: ``mem_mb``, ``runtime`` and, where the rule can use one, ``gpu``; a value may
                be a function of the wildcards.
        """

        def one(name: str) -> Callable[..., Any]:
            return lambda wildcards, attempt: self._of_job(rule, wildcards, attempt, default).get(
                name
            )

        names = RESOURCES + (DEVICES if "gpu" in default else ())
        return {name: one(name) for name in names}

    def threads(self, wildcards: Any) -> int:
        """Return the threads of one training: those of the preset times the processes per node."""
        default = {"gpu": self.gpus(wildcards)}
        chosen = requested(self.settings, SPREAD, _row_of(wildcards), default)
        processes: int = chosen["processes"] // chosen["nodes"]
        return self.inputs.preset(wildcards).threads * processes

    def gpus(self, wildcards: Any) -> int:
        """Return the GPUs of one job of a preset."""
        return self.inputs.preset(wildcards).gpu

    def _of_job(
        self, rule: str, wildcards: Any, attempt: int, default: Mapping[str, Any]
    ) -> dict[str, Any]:
        values = {
            name: value(wildcards) if callable(value) else value for name, value in default.items()
        }
        found = resources(self.settings, rule, _row_of(wildcards), values, attempt)
        dependency = (
            dependency_on(self.left_over, comment_of(rule, wildcards)) if attempt == 1 else None
        )
        extra = " ".join(filter(None, [found.get("slurm_extra"), dependency]))
        return found | {"slurm_extra": extra or None}


def _row_of(wildcards: Any) -> str | None:
    """Return preset/entry, or None for a job that does not belong to a row."""
    names = set(wildcards.keys())
    return f"{wildcards.preset}/{wildcards.entry}" if {"preset", "entry"} <= names else None


def check_rows(
    settings: Mapping[str, Any], presets: Collection[str], entries: Collection[str]
) -> None:
    """Check what the schema cannot: that the rows exist and their GPUs can be divided among nodes.

    Args:
        settings: ``cluster`` of the configuration.
        presets: the known names.
        entries: the known ids.

    Raises:
        InputError: if a row is unknown, or requests impossible resources.
    """
    for rule, own in settings["rules"].items():
        _check_devices(rule, rule, own)
    for row, rules in settings["rows"].items():
        preset, _, entry = row.partition("/")
        for kind, name, known in (("preset", preset, presets), ("entry", entry, entries)):
            if name not in known:
                raise InputError(
                    f"rows of configs/cluster.yaml as preset/entry, with a known {kind}",
                    repr(row),
                    nearest(name, known),
                )
        for rule, own in rules.items():
            _check_devices(f"{row}, {rule}", rule, settings["rules"].get(rule, {}) | own)


def _check_devices(where: str, rule: str, request: Mapping[str, Any]) -> None:
    nodes = request.get("nodes", 1)
    count = request.get("gpu") or request.get("processes", 1)
    if request.get("gpu") and rule not in WITH_GPU:
        raise InputError(
            f"GPUs for {', '.join(WITH_GPU)} only", f"{where}: {dict(request)}", "remove gpu"
        )
    if rule != SPREAD and (nodes > 1 or count > 1):
        raise InputError(
            "at most one process and one GPU for any rule except train",
            f"{where}: {dict(request)}",
            "set several GPUs only for train (configs/cluster.yaml)",
        )
    if count % nodes:
        raise InputError(
            "the same number of GPUs on each node",
            f"{where}: {count} on {nodes} nodes",
            "change gpu or nodes",
        )


def requested(
    settings: Mapping[str, Any], rule: str, row: str | None, default: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a job: from its row, else its rule, the site, or the default.

    Args:
        settings: ``cluster`` of the configuration.
        rule: name of the rule.
        row: ``preset/entry`` where the job has one.
        default: ``mem_mb``, ``runtime`` (minutes) and, where the rule can use one, ``gpu``.
    """
    chosen = {"gpu": 0, "nodes": 1, "processes": 1, "passes": 0} | dict(default)
    own = dict(settings["rules"].get(rule, {}))
    if not chosen["gpu"]:
        own.pop("gpu", None)  # a CPU preset stays on the CPU, unless its row says otherwise
    chosen |= own | settings["rows"].get(row, {}).get(rule, {})
    if chosen["gpu"]:
        chosen["processes"] = chosen["gpu"]
    on_gpu = settings["gpu_partition"] or settings["partition"]
    chosen.setdefault("partition", on_gpu if chosen["gpu"] else settings["partition"])
    chosen.setdefault("account", settings["account"])
    chosen.setdefault("gpu_model", settings["gpu_model"])
    return chosen


def resources(
    settings: Mapping[str, Any],
    rule: str,
    row: str | None,
    default: Mapping[str, Any],
    attempt: int = 1,
) -> dict[str, Any]:
    """Return the resources of one job.

    A job gets more resources at each attempt, in case it was stopped by its limits. A training does
    not: it resumes where it was stopped.

    Args:
        settings: as for `requested`.
        rule: likewise.
        row: likewise.
        default: likewise.
        attempt: 1 for the first.
    """
    chosen = requested(settings, rule, row, default)
    factor = 1 if rule == SPREAD else attempt
    request = {
        "mem_mb": chosen["mem_mb"] * factor,
        "runtime": min(chosen["runtime"] * factor, settings["walltime"]),
        "slurm_partition": chosen["partition"],
        "slurm_account": chosen["account"],
    }
    if "gpu" not in default:
        return request
    request |= _devices(settings["gpu_request"], chosen)
    request |= {name: chosen[name] for name in ("processes", "passes", "nodes")}
    if chosen["nodes"] > 1:
        # The executor starts the command of an `mpi` job once, outside of any srun; the command
        # then starts one launcher on each node itself.
        request |= {"mpi": "srun", "tasks": chosen["nodes"], "tasks_per_gpu": 0}
    return request


def _devices(kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request for the GPUs; Slurm refuses --gpus and --gres together."""
    if not chosen["gpu"]:
        return {}
    model = chosen["gpu_model"]
    per_node = chosen["gpu"] // chosen["nodes"]
    name = f"{model}:{per_node}" if model else str(per_node)
    if kind == "gres":
        return {"gres": f"gpu:{name}"}
    if kind == "gpus-per-node":
        return {"slurm_extra": f"--gpus-per-node={name}"}
    # --gpus is for the whole job; on several nodes, each must get the same number.
    extra = {"slurm_extra": f"--gpus-per-node={name}"} if chosen["nodes"] > 1 else {}
    return {"gpu": chosen["gpu"], "gpu_model": model, **extra}
