# What every rule asks: paths and parameters (INPUTS), resources (RESOURCES), searches (SEARCHES).
import os
import shlex

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import TINY_DIGITS
from rankdet.cluster import queue
from rankdet.search.plan import load_plans
from rankdet.workflow import snakemakes
from rankdet.workflow.inputs import FIGURES, Inputs
from rankdet.workflow.resources import JobResources
from rankdet.workflow.searches import Searches

# Jobs on a cluster read this file too; they belong to the Snakemake that submitted them.
LEFT_OVER = []
if workflow.is_main_process:
    snakemakes.begin(os.getcwd())
    LEFT_OVER = queue.left_over(os.getcwd())


def published_models(group):
    """Return the list of available models of a group; Snakemake looks again once it is there."""
    return checkpoints.published_models.get(group=group).output[0]


# Reading the catalogue here checks its tables before any job is planned.
INPUTS = Inputs(config, load_catalogue("configs"), published_models)
RESOURCES = JobResources(config["cluster"], INPUTS, LEFT_OVER)
SEARCHES = Searches(load_plans("configs"))

# The workflow's own configs, also for the commands that the rules call.
EXPORTS = {"RANKDET_CONFIGS": os.path.abspath("configs")}
if config["mirrors"]:
    EXPORTS["RANKDET_MIRRORS"] = " ".join(config["mirrors"])
exports = "".join(f"export {name}={shlex.quote(text)}; " for name, text in EXPORTS.items())
shell.prefix(exports.replace("{", "{{").replace("}", "}}"))  # Snakemake formats it


# What has not begun of the jobs that a killed Snakemake left in the queue is cancelled.
onstart:
    for job in queue.cancel_waiting(LEFT_OVER):
        print(f"cancelled {job.job_id} ({job.comment}), left waiting by an earlier Snakemake")


# What a wildcard may be before it is looked up: it becomes a part of paths and of commands.
SAFE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


wildcard_constraints:
    preset=SAFE_NAME,
    entry=SAFE_NAME,
    table=SAFE_NAME,
    group=SAFE_NAME,
    file=SAFE_NAME,
    like="coco|lvis|cityscapes",
    search=SAFE_NAME,
    round=r"[0-9]{3}",
    sample=r"[0-9]+",
