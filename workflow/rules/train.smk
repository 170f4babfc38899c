# The work directory is not an output, because Snakemake deletes outputs before a rerun, and with
# them days of training. Only the final checkpoint is an output; it is moved into place when
# complete. The content of the config is compared by hash: a touched, moved or reformatted config
# does not train again.
rule train:
    input:
        data=INPUTS.dataset,
        config=ancient(INPUTS.entry_config),
        weights=INPUTS.start_weights,
        rates=ancient(STUDIES.rates),  # its content is a parameter
    output:
        checkpoint="results/{preset}/{entry}{seed}/checkpoint.pth",
    log:
        "logs/{preset}/{entry}{seed}/train.log",
    benchmark:
        "logs/{preset}/{entry}{seed}/train.benchmark.tsv"
    threads: RESOURCES.threads
    resources:
        **RESOURCES.of("train", mem_mb=8000, runtime=2880, gpu=RESOURCES.gpus),
    params:
        seed=INPUTS.seed,
        length=STUDIES.training_options,
        settings=INPUTS.settings,
    shell:
        "rankdet train {wildcards.entry:q} --preset {wildcards.preset:q} --data {input.data:q}"
        " --work-dir work/{wildcards.preset:q}/{wildcards.entry:q}{wildcards.seed:q} --out {output.checkpoint:q}"
        " --seed {params.seed:q} {params.length} --resume --on-change set-aside --wait"
        " --log {log:q} --threads {threads:q} --processes {resources.processes:q}"
        " --nodes {resources.nodes:q} --passes {resources.passes:q}"


rule predict:
    input:
        data=INPUTS.dataset,
        checkpoint="results/{preset}/{entry}{seed}/checkpoint.pth",
    output:
        "results/{preset}/{entry}{seed}/detections.json",
    log:
        "logs/{preset}/{entry}{seed}/predict.log",
    benchmark:
        "logs/{preset}/{entry}{seed}/predict.benchmark.tsv"
    priority: 1
    threads: lambda wildcards: INPUTS.preset(wildcards).threads
    resources:
        **RESOURCES.of("predict", mem_mb=8000, runtime=240, gpu=RESOURCES.gpus),
    params:
        settings=INPUTS.settings,
    shell:
        "rankdet predict {wildcards.entry:q} --preset {wildcards.preset:q} --data {input.data:q}"
        " --checkpoint {input.checkpoint:q} --out {output:q} --threads {threads:q} --log {log:q}"
        " --work-dir work/{wildcards.preset:q}/{wildcards.entry:q}{wildcards.seed:q}/predict"
