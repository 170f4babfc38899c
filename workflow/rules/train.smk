# The work directory is no output: Snakemake deletes outputs before a rerun, and with them days of
# training. Only the verified checkpoint is, moved into place when it is complete.
rule train:
    input:
        data=dataset,
        config=entry_config,
        weights=start_weights,
    output:
        checkpoint="results/{preset}/{entry}/checkpoint.pth",
        record="results/{preset}/{entry}/training.jsonl",
        run="results/{preset}/{entry}/run.json",
    log:
        "logs/{preset}/{entry}/train.log",
    benchmark:
        "logs/{preset}/{entry}/train.benchmark.tsv"
    threads: threads_of
    resources:
        **asks("train", mem_mb=8000, runtime=2880, gpu=gpus_of),
    params:
        seed=config["seed"],
        length=length_of,
    shell:
        "rankdet train {wildcards.entry} --preset {wildcards.preset} --data {input.data}"
        " --work-dir work/{wildcards.preset}/{wildcards.entry} --out {output.checkpoint}"
        " --seed {params.seed} {params.length} --resume --on-change set-aside"
        " --threads {threads} --log {log}"
        " --processes {resources.processes} --nodes {resources.nodes} --passes {resources.passes}"


rule predict:
    input:
        data=dataset,
        checkpoint="results/{preset}/{entry}/checkpoint.pth",
    output:
        "results/{preset}/{entry}/detections.json",
    log:
        "logs/{preset}/{entry}/predict.log",
    benchmark:
        "logs/{preset}/{entry}/predict.benchmark.tsv"
    threads: lambda wildcards: preset_of(wildcards)["threads"]
    resources:
        **asks("predict", mem_mb=8000, runtime=240, gpu=gpus_of),
    shell:
        "rankdet predict {wildcards.entry} --preset {wildcards.preset} --data {input.data}"
        " --checkpoint {input.checkpoint} --out {output} --threads {threads} --log {log}"
        " --work-dir work/{wildcards.preset}/{wildcards.entry}/predict"
