"""What a job asks of a cluster: the rule's own wish, changed by ``cluster`` of the configuration.

The result is a dictionary of Snakemake resources, named as its Slurm executor reads them. Keys that
a job does not ask for are None, which Snakemake leaves out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rankdet.errors import InputError, nearest

# The rules whose jobs may have a GPU; only a training is spread over several.
WITH_GPU = ("train", "predict", "search_sample", "search_train")
SPREAD = "train"


def check_rows(
    settings: Mapping[str, Any], presets: Collection[str], entries: Collection[str]
) -> None:
    """Check what the schema cannot: that the rows exist and their GPUs can be shared out.

    Args:
        settings: ``cluster`` of the configuration.
        presets, entries: the known names.

    Raises:
        InputError: if a row is unknown, or asks for what no job can get.
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


def _check_devices(where: str, rule: str, asked: Mapping[str, Any]) -> None:
    nodes = asked.get("nodes", 1)
    count = asked.get("gpu") or asked.get("processes", 1)
    if asked.get("gpu") and rule not in WITH_GPU:
        raise InputError(
            f"GPUs for {', '.join(WITH_GPU)} only", f"{where}: {dict(asked)}", "leave gpu out"
        )
    if rule != SPREAD and (nodes > 1 or count > 1):
        raise InputError(
            "one process, on one GPU or none, of any rule but train",
            f"{where}: {dict(asked)}",
            "give several GPUs to train only (configs/cluster.yaml)",
        )
    if count % nodes:
        raise InputError(
            "as many GPUs on each node", f"{where}: {count} on {nodes} nodes", "change gpu or nodes"
        )


def wish(
    settings: Mapping[str, Any], rule: str, row: str | None, default: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a job of ``rule`` is to have: the row's word before the rule's, the site's, ours.

    Args:
        settings: ``cluster`` of the configuration.
        rule: name of the rule.
        row: ``preset/entry`` where the job has one.
        default: ``mem_mb``, ``runtime`` (minutes) and, where the rule can use one, ``gpu``.
    """
    chosen = {"gpu": 0, "nodes": 1, "processes": 1, "passes": 0} | dict(default)
    own = dict(settings["rules"].get(rule, {}))
    if not chosen["gpu"]:
        own.pop("gpu", None)  # a preset for processors stays there, unless its row says otherwise
    chosen |= own | settings["rows"].get(row, {}).get(rule, {})
    if chosen["gpu"]:
        chosen["processes"] = chosen["gpu"]
    on_gpu = settings["gpu_partition"] or settings["partition"]
    chosen.setdefault("partition", on_gpu if chosen["gpu"] else settings["partition"])
    chosen.setdefault("account", settings["account"])
    chosen.setdefault("gpu_model", settings["gpu_model"])
    return chosen


def resources(
    settings: Mapping[str, Any], rule: str, row: str | None, default: Mapping[str, Any], attempt=1
) -> dict[str, Any]:
    """Return the resources of one job.

    A rule that was stopped by its limits gets more at the next attempt. A training does not: it
    goes on where it was stopped.

    Args:
        settings, rule, row, default: as for `wish`.
        attempt: 1 for the first.
    """
    chosen = wish(settings, rule, row, default)
    factor = 1 if rule == SPREAD else attempt
    asked = {
        "mem_mb": chosen["mem_mb"] * factor,
        "runtime": min(chosen["runtime"] * factor, settings["walltime"]),
        "slurm_partition": chosen["partition"],
        "slurm_account": chosen["account"],
    }
    if "gpu" not in default:
        return asked
    asked |= _devices(settings["gpu_request"], chosen)
    asked |= {name: chosen[name] for name in ("processes", "passes", "nodes")}
    if chosen["nodes"] > 1:
        # The executor starts the command of an `mpi` job once, outside of any srun; the command
        # then starts one launcher on each node itself.
        asked |= {"mpi": "srun", "tasks": chosen["nodes"], "tasks_per_gpu": 0}
    return asked


def _devices(request: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the GPUs are asked for; Slurm refuses --gpus and --gres together."""
    if not chosen["gpu"]:
        return {}
    model = chosen["gpu_model"]
    per_node = chosen["gpu"] // chosen["nodes"]
    name = f"{model}:{per_node}" if model else str(per_node)
    if request == "gres":
        return {"gres": f"gpu:{name}"}
    if request == "gpus-per-node":
        return {"slurm_extra": f"--gpus-per-node={name}"}
    # --gpus counts the whole job; over several nodes it has to say that each gets as many.
    extra = {"slurm_extra": f"--gpus-per-node={name}"} if chosen["nodes"] > 1 else {}
    return {"gpu": chosen["gpu"], "gpu_model": model, **extra}
