# The workflow's table of contents: data -> train -> predict -> evaluate -> tables, figures, report.
# Every rule calls the `rankdet` command and nothing else; each step can be done by hand with it.
from snakemake.utils import min_version

from rankdet.catalogue.settings_files import check_settings

min_version("9.0")


configfile: "configs/pipeline.yaml"
configfile: "configs/cluster.yaml"


check_settings(config, "workflow/schemas/pipeline.schema.yaml", "configs/pipeline.yaml")
check_settings(config["cluster"], "workflow/schemas/cluster.schema.yaml", "configs/cluster.yaml")


# Used only with --software-deployment-method apptainer.
container: config["image"]


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/fetch_plan.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/record.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/search_plan.smk"
include: "workflow/rules/search.smk"


# What can be asked for by name; besides, one experiment: results/<preset>/<entry>/metrics.json,
# and one table: results/<preset>/tables/<table>.md. They stand in this file because Snakemake
# takes no default target from an included one.


rule all:
    default_target: True
    input:
        everything("paper"),


# Every table; with `--config weights=published` of the official trained models.
rule tables:
    input:
        tables_and_metrics,


rule demo:
    input:
        everything("demo"),


# One learned row of every kind; takes an hour on two cores.
rule demo_all:
    input:
        everything("demo"),
        "results/demo/all/report.html",
        table_files("demo", [table.slug for table in CATALOGUE.tables], "all/tables"),


# A few real images (--config mini=/data/coco128), trained on and held out.
rule mini:
    input:
        everything("mini"),
        everything("overfit"),


rule smoke:
    input:
        everything("smoke"),


# The official run of every row, cut off after two epochs of drawn images: does it start and end?
rule rehearsal:
    input:
        everything("rehearsal"),


# A whole search of the functions of Parameterized AP Loss, its proxies minutes on two cores.
rule demo_search:
    input:
        search_files("demo"),
        "results/search/demo/training.json",


# The paper's two: `rankdet plan` says what they cost.
rule search:
    input:
        search_files("retinanet"),
        search_files("faster_rcnn"),
