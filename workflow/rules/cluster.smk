# What jobs ask of a cluster: the rule's own wish, changed by configs/cluster.yaml.
from rankdet.cluster import queue, settings as cluster_settings

CLUSTER = config["cluster"]
cluster_settings.check_rows(CLUSTER, config["presets"], [e.entry_id for e in CATALOGUE])
RESOURCES = ["mem_mb", "runtime", "slurm_partition", "slurm_account", "slurm_extra"]
DEVICES = [
    "gpu",
    "gpu_model",
    "gres",
    "processes",
    "passes",
    "nodes",
    "mpi",
    "tasks",
    "tasks_per_gpu",
]

# Jobs that a killed Snakemake left in the queue. What has not begun is cancelled; what runs is
# waited for, by Slurm, before the same job begins again (and then goes on from its checkpoint).
# A job that itself is one of them does not look.
LEFT_OVER = queue.left_over(os.getcwd()) if workflow.is_main_process else []


onstart:
    for job in queue.cancel_waiting(LEFT_OVER):
        print(f"cancelled {job.job_id} ({job.comment}), left waiting by an earlier Snakemake")


def row_of(wildcards):
    """Return preset/entry, or None of a job that belongs to no row."""
    names = wildcards.keys()
    return f"{wildcards.preset}/{wildcards.entry}" if {"preset", "entry"} <= set(names) else None


def job_resources(rule, wildcards, attempt, default):
    """Return all resources of one job; a wish may be a function of the wildcards."""
    wish = {name: value(wildcards) if callable(value) else value for name, value in default.items()}
    asked = cluster_settings.resources(CLUSTER, rule, row_of(wildcards), wish, attempt)
    hold = queue.hold_for(LEFT_OVER, queue.comment_of(rule, wildcards))
    extra = [asked.get("slurm_extra"), hold if attempt == 1 else None]
    return asked | {"slurm_extra": " ".join(filter(None, extra)) or None}


def asks(rule, **default):
    """Return the ``resources`` of a rule, each a function of the job."""

    def one(name):
        return lambda wildcards, attempt: job_resources(rule, wildcards, attempt, default).get(name)

    names = RESOURCES + (DEVICES if "gpu" in default else [])
    return {name: one(name) for name in names}


def threads_of(wildcards):
    """Return the threads of one training: those of the preset for each process of a node."""
    wish = cluster_settings.wish(CLUSTER, "train", row_of(wildcards), {"gpu": gpus_of(wildcards)})
    return preset_of(wildcards)["threads"] * (wish["processes"] // wish["nodes"])


def gpus_of(wildcards):
    """Return the GPUs of one job of a preset."""
    return preset_of(wildcards)["gpu"]
