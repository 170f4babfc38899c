# Used by all rules: paths and parameters (INPUTS), resources (RESOURCES), searches (SEARCHES).
import os
import shlex

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import TINY_DIGITS
from rankdet.catalogue.seeds import PATTERN
from rankdet.cluster import slurm
from rankdet.paths import CONFIGS_VARIABLE, use_configs
from rankdet.search.plan import load_plans
from rankdet.workflow import snakemakes
from rankdet.report.captions import FIGURES
from rankdet.workflow.inputs import Inputs
from rankdet.workflow.resources import JobResources
from rankdet.workflow.inputs import Searches
from rankdet.workflow.studies import FIGURES as STUDY_FIGURES
from rankdet.workflow.studies import Studies

# Cluster jobs read this file too, but only the main process manages locks and left-over jobs.
LEFT_OVER = []
if workflow.is_main_process:
    snakemakes.begin(os.getcwd())
    LEFT_OVER = slurm.left_over(os.getcwd())


def published_models(group):
    """Return the list of available models of a group; Snakemake looks again once it is there."""
    return checkpoints.published_models.get(group=group).output[0]


def study_rates(study):
    """Return the chosen learning rates of a study; Snakemake looks again once they are there."""
    return checkpoints.study_rates.get(study=study).output[0]


# The workflow's configs, here and in the commands of the rules.
CONFIGS = use_configs("configs")
# Loading the catalogue here checks its tables before any job is planned.
INPUTS = Inputs(config, load_catalogue("configs"), published_models)
RESOURCES = JobResources(config["cluster"], INPUTS, LEFT_OVER)
SEARCHES = Searches(load_plans("configs"))
STUDIES = Studies(INPUTS, study_rates)

EXPORTS = {CONFIGS_VARIABLE: CONFIGS}
if config["mirrors"]:
    EXPORTS["RANKDET_MIRRORS"] = " ".join(config["mirrors"])
# Not a parameter of the rule, since another tracker must not train again.
if config["trackers"] != ["tensorboard"]:
    EXPORTS["RANKDET_TRACKERS"] = " ".join(config["trackers"]) or "none"
exports = "".join(f"export {name}={shlex.quote(text)}; " for name, text in EXPORTS.items())
shell.prefix(exports.replace("{", "{{").replace("}", "}}"))  # Snakemake formats it


# Cancel the jobs of a killed Snakemake that are still pending in the queue.
onstart:
    snakemakes.remove_default_rate(workflow)
    for job in slurm.cancel_waiting(LEFT_OVER):
        print(f"canceled {job.job_id} ({job.comment}), a pending job of an earlier Snakemake")


# Valid wildcards: they are used in paths and commands.
SAFE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"


wildcard_constraints:
    preset=SAFE_NAME,
    entry=SAFE_NAME,
    seed=f"(/{PATTERN})?",  # the folder of one of several runs
    table=SAFE_NAME,
    group=SAFE_NAME,
    file=SAFE_NAME,
    like="coco|lvis|cityscapes",
    search=SAFE_NAME,
    study="|".join(STUDIES.names) or "none",
    studyset="|".join(STUDIES.sets) or "none",
    round=r"[0-9]{3}",
    sample=r"[0-9]+",
