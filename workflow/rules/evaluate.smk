rule evaluate:
    input:
        data=dataset,
        detections="results/{preset}/{entry}/detections.json",
    output:
        metrics="results/{preset}/{entry}/metrics.json",
        curves="results/{preset}/{entry}/curves.json",
    log:
        "logs/{preset}/{entry}/evaluate.log",
    benchmark:
        "logs/{preset}/{entry}/evaluate.benchmark.tsv"
    resources:
        **asks("evaluate", mem_mb=8000, runtime=60),
    params:
        iou_types=lambda wildcards: iou_options(wildcards),
    shell:
        "rankdet evaluate --dataset {input.data:q} --detections {input.detections:q}"
        " {params.iou_types} --out {output.metrics:q} --curves {output.curves:q} > {log:q} 2>&1"
