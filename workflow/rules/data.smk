# Snakemake compares the values of params as a set; `named` detects swapped values.
rule digits:
    output:
        "data/prepared/digits/dataset.json",
    log:
        "logs/data/digits.log",
    benchmark:
        "logs/data/digits.benchmark.tsv"
    resources:
        **RESOURCES.of("digits", mem_mb=1000, runtime=10),
    params:
        **config["digits"],
        named=str(sorted(config["digits"].items())),
    shell:
        "rankdet prepare digits --out data/prepared/digits --seed {params.seed:q}"
        " --train-images {params.train_images:q} --val-images {params.val_images:q} > {log:q} 2>&1"


rule digits_long_tail:
    output:
        "data/prepared/digits-lvis/dataset.json",
    log:
        "logs/data/digits-lvis.log",
    benchmark:
        "logs/data/digits-lvis.benchmark.tsv"
    resources:
        **RESOURCES.of("digits_long_tail", mem_mb=1000, runtime=10),
    params:
        **config["digits"],
        named=str(sorted(config["digits"].items())),
    shell:
        "rankdet prepare digits --long-tail --out data/prepared/digits-lvis --seed {params.seed:q}"
        " --train-images {params.train_images:q} --val-images {params.val_images:q} > {log:q} 2>&1"


rule digits_tiny:
    output:
        "data/prepared/digits-tiny/dataset.json",
    log:
        "logs/data/digits-tiny.log",
    benchmark:
        "logs/data/digits-tiny.benchmark.tsv"
    resources:
        **RESOURCES.of("digits_tiny", mem_mb=1000, runtime=10),
    params:
        **TINY_DIGITS,
    shell:
        "rankdet prepare digits --out data/prepared/digits-tiny"
        " --train-images {params.train_images:q} --val-images {params.val_images:q} > {log:q} 2>&1"


rule drawn:
    output:
        "data/prepared/drawn-{like}/dataset.json",
    log:
        "logs/data/drawn-{like}.log",
    benchmark:
        "logs/data/drawn-{like}.benchmark.tsv"
    resources:
        **RESOURCES.of("drawn", mem_mb=1000, runtime=10),
    shell:
        "rankdet prepare drawn --like {wildcards.like:q}"
        " --out data/prepared/drawn-{wildcards.like:q} > {log:q} 2>&1"


rule coco_folder:
    input:
        annotations=INPUTS.own_annotations,
        sums=INPUTS.fetched,
    output:
        "data/prepared/{name}/dataset.json",
    log:
        "logs/data/{name}.log",
    benchmark:
        "logs/data/{name}.benchmark.tsv"
    wildcard_constraints:
        name="coco|mini|mini-overfit|cityscapes",
    resources:
        **RESOURCES.of("coco_folder", mem_mb=4000, runtime=20),
    params:
        root=lambda wildcards: config[wildcards.name.removesuffix("-overfit")],
        overfit=lambda wildcards: "--overfit" * wildcards.name.endswith("-overfit"),
        sums=lambda wildcards, input: f"--sums {input.sums}" if input.sums else "",
    shell:
        "rankdet prepare coco --root {params.root:q} --name {wildcards.name:q} {params.sums}"
        " {params.overfit} --out {output:q} 2>&1 | tee {log:q}"


rule lvis_folder:
    input:
        annotations=INPUTS.own_lvis,
        sums=INPUTS.fetched_lvis,
    output:
        "data/prepared/lvis/dataset.json",
    log:
        "logs/data/lvis.log",
    benchmark:
        "logs/data/lvis.benchmark.tsv"
    resources:
        **RESOURCES.of("lvis_folder", mem_mb=16000, runtime=20),
    params:
        root=config["lvis"],
        sums=lambda wildcards, input: f"--sums {input.sums[0]}" if input.sums else "",
    shell:
        "rankdet prepare lvis --root {params.root:q} {params.sums} --out {output:q}"
        " 2>&1 | tee {log:q}"
