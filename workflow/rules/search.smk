# The search of Parameterized AP's functions: every proxy training is a separate job, and so is the
# update after a round. The next state depends only on the state and the rewards of its samples, not
# on the order in which the jobs end.
rule search_split:
    input:
        SEARCHES.dataset,
    output:
        "data/search/{search}/dataset.json",
    log:
        "logs/search/{search}/split.log",
    benchmark:
        "logs/search/{search}/split.benchmark.tsv"
    resources:
        **RESOURCES.of("search_split", mem_mb=8000, runtime=20),
    params:
        val_images=lambda wildcards: SEARCHES.plan(wildcards).val_images,
        seed=lambda wildcards: SEARCHES.plan(wildcards).seed,
        named=lambda wildcards: "val_images {0.val_images}, seed {0.seed}".format(
            SEARCHES.plan(wildcards)
        ),
    shell:
        "rankdet prepare search-split --data {input:q} --out {output:q} --seed {params.seed:q}"
        " --val-images {params.val_images:q} > {log:q} 2>&1"


rule search_start:
    output:
        "results/search/{search}/round-000/state.json",
    log:
        "logs/search/{search}/start.log",
    benchmark:
        "logs/search/{search}/start.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        plan=lambda wildcards: SEARCHES.plan(wildcards).as_json(),
    shell:
        "rankdet search start {wildcards.search:q} --out {output:q} > {log:q} 2>&1"


rule search_sample:
    input:
        state="results/search/{search}/round-{round}/state.json",
        data="data/search/{search}/dataset.json",
    output:
        "results/search/{search}/round-{round}/sample-{sample}.json",
    log:
        "logs/search/{search}/round-{round}/sample-{sample}.log",
    benchmark:
        "logs/search/{search}/round-{round}/sample-{sample}.benchmark.tsv"
    threads: lambda wildcards: SEARCHES.plan(wildcards).threads
    resources:
        **RESOURCES.of(
            "search_sample",
            mem_mb=16000,
            runtime=720,
            gpu=lambda wildcards: SEARCHES.plan(wildcards).gpu,
        ),
    shell:
        "rankdet search sample --state {input.state:q} --index {wildcards.sample:q}"
        " --data {input.data:q} --work-dir work/search/{wildcards.search:q}/{wildcards.round:q}-{wildcards.sample:q}"
        " --out {output:q} --threads {threads:q} --log {log:q}"


rule search_update:
    input:
        state=SEARCHES.previous_state,
        samples=SEARCHES.previous_samples,
    output:
        "results/search/{search}/round-{round}/state.json",
    log:
        "logs/search/{search}/round-{round}/update.log",
    benchmark:
        "logs/search/{search}/round-{round}/update.benchmark.tsv"
    wildcard_constraints:
        round=r"(?!000)[0-9]{3}",
    localrule: True
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        samples=lambda wildcards, input: [f"--sample {shlex.quote(path)}" for path in input.samples],
    shell:
        "rankdet search update --state {input.state:q} {params.samples} --out {output:q}"
        " > {log:q} 2>&1"


rule search_finish:
    input:
        SEARCHES.rounds,
    output:
        found="results/search/{search}/found.json",
        config="results/search/{search}/found.py",
    log:
        "logs/search/{search}/finish.log",
    benchmark:
        "logs/search/{search}/finish.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        use=lambda wildcards: SEARCHES.plan(wildcards).use,
    shell:
        "rankdet search finish results/search/{wildcards.search:q} --use {params.use:q}"
        " --out {output.found:q} > {log:q} 2>&1"


rule search_report:
    input:
        "results/search/{search}/found.json",
    output:
        *[
            report(
                f"results/search/{{search}}/search.{suffix}",
                caption="../report/search.rst",
                category="Search",
                labels={"search": "{search}", "content": content},
            )
            for suffix, content in (("html", "page"), ("svg", "figure"), ("csv", "table"))
        ],
        multiext("results/search/{search}/search", ".png", ".md"),
    log:
        "logs/search/{search}/report.log",
    benchmark:
        "logs/search/{search}/report.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "rankdet report search {input:q} --out results/search/{wildcards.search:q} > {log:q} 2>&1"


rule search_train:
    input:
        config="results/search/{search}/found.py",
        data=SEARCHES.dataset,
    output:
        "results/search/{search}/training.json",
    log:
        "logs/search/{search}/train.log",
    benchmark:
        "logs/search/{search}/train.benchmark.tsv"
    threads: lambda wildcards: SEARCHES.plan(wildcards).threads
    resources:
        **RESOURCES.of(
            "search_train",
            mem_mb=16000,
            runtime=720,
            gpu=lambda wildcards: SEARCHES.plan(wildcards).gpu,
        ),
    params:
        options=lambda wildcards: SEARCHES.plan(wildcards).training_options,
    shell:
        "rankdet search train --config {input.config:q} --data {input.data:q} {params.options}"
        " --work-dir work/search/{wildcards.search:q}/found --out {output:q} --threads {threads:q}"
        " --log {log:q}"
