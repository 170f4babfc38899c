# The training writes both files next to its checkpoint. They are outputs of a separate rule, so
# that a deleted file is restored without training or prediction.
rule record:
    input:
        checkpoint=ancient("results/{preset}/{entry}{seed}/checkpoint.pth"),
    output:
        run="results/{preset}/{entry}{seed}/run.json",
        curves="results/{preset}/{entry}{seed}/training.jsonl",
    log:
        "logs/{preset}/{entry}{seed}/record.log",
    benchmark:
        "logs/{preset}/{entry}{seed}/record.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=500,
        runtime=10,
    shell:
        "rankdet record {wildcards.entry:q} --preset {wildcards.preset:q}"
        " --work-dir work/{wildcards.preset:q}/{wildcards.entry:q}{wildcards.seed:q}"
        " --checkpoint {input.checkpoint:q} > {log:q} 2>&1"
