# How `snakemake --report` lists the metrics of a run.
METRICS = dict(caption="../report/metrics.rst", category="Runs", subcategory="{entry}")


rule evaluate:
    input:
        data=INPUTS.dataset,
        detections="results/{preset}/{entry}{seed}/detections.json",
    output:
        metrics=report(
            "results/{preset}/{entry}{seed}/metrics.json",
            labels=lambda wildcards: INPUTS.run_labels(wildcards, "metrics"),
            **METRICS,
        ),
        curves="results/{preset}/{entry}{seed}/curves.json",
    log:
        "logs/{preset}/{entry}{seed}/evaluate.log",
    benchmark:
        "logs/{preset}/{entry}{seed}/evaluate.benchmark.tsv"
    # The metrics of a row are on the screen before the next training starts.
    priority: 2
    resources:
        **RESOURCES.of("evaluate", mem_mb=8000, runtime=60),
    params:
        iou_types=INPUTS.iou_options,
    shell:
        "rankdet evaluate --dataset {input.data:q} --detections {input.detections:q}"
        " {params.iou_types} --out {output.metrics:q} --curves {output.curves:q} > {log:q} 2>&1"
        " && sed 's|^|'{wildcards.preset:q}/{wildcards.entry:q}{wildcards.seed:q}' |' {log:q}"
