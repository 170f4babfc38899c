# Downloads: every file is verified before it gets its final name, and an interrupted transfer is
# resumed. The jobs run where Snakemake runs, because cluster nodes often have no network access.
ruleorder: convert > train
ruleorder: convert > record


# The available models determine which rows are predicted, so this is a checkpoint of the DAG.
checkpoint published_models:
    input:
        INPUTS.model_statuses,
    output:
        "results/published/{group}.models.json",
    log:
        "logs/published/{group}.models.log",
    benchmark:
        "logs/published/{group}.models.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=500,
        runtime=10,
    shell:
        "rankdet fetch status {input:q} --out {output:q} > {log:q} 2>&1"


rule published_model:
    input:
        INPUTS.from_inbox,
    output:
        "results/published/{entry}/weights.json",
    log:
        "logs/published/{entry}/fetch.log",
    benchmark:
        "logs/published/{entry}/fetch.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=4000,
        runtime=120,
    shell:
        "rankdet fetch checkpoint {wildcards.entry:q} --status {output:q}" " > {log:q} 2>&1"


rule convert:
    input:
        official=INPUTS.official_model,
        data=INPUTS.dataset,
    output:
        checkpoint="results/{preset}/{entry}{seed}/checkpoint.pth",
        run="results/{preset}/{entry}{seed}/run.json",
    log:
        "logs/{preset}/{entry}{seed}/convert.log",
    benchmark:
        "logs/{preset}/{entry}{seed}/convert.benchmark.tsv"
    wildcard_constraints:
        preset="published",
        seed="",
    resources:
        **RESOURCES.of("convert", mem_mb=4000, runtime=20),
    shell:
        "rankdet convert {wildcards.entry:q} --source {input.official:q} --data {input.data:q}"
        " --out {output.checkpoint:q} --log {log:q}"


rule backbone:
    input:
        INPUTS.known_backbone,
    output:
        "data/backbones/{file}.pth",
    log:
        "logs/data/{file}.log",
    benchmark:
        "logs/data/{file}.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=2000,
        runtime=120,
    shell:
        "rankdet fetch backbone {wildcards.file:q}.pth 2>&1 | tee {log:q}"


rule data_set:
    output:
        "data/downloads/{name}.sha256",
    log:
        "logs/data/fetch-{name}.log",
    benchmark:
        "logs/data/fetch-{name}.benchmark.tsv"
    wildcard_constraints:
        name="coco|lvis",
    localrule: True
    resources:
        mem_mb=2000,
        runtime=1440,
    shell:
        "rankdet fetch {wildcards.name:q} --sums {output:q} 2>&1 | tee {log:q}"
