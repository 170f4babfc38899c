# Tables, figures and pages. Each takes seconds, so these jobs run where Snakemake runs.
REPORT = dict(mem_mb=2000, runtime=10)


# Before the tables, which link to it. Snakemake would not see a changed label of a table whose run
# pages are `ancient`.
rule run_page:
    input:
        metrics="results/{preset}/{entry}{seed}/metrics.json",
        runs=lambda wildcards: INPUTS.measured(wildcards, [wildcards.entry]),
        beside=INPUTS.beside_metrics,
        data=INPUTS.dataset,
    output:
        "results/{preset}/{entry}{seed}/run.html",
    log:
        "logs/{preset}/{entry}{seed}/run_page.log",
    benchmark:
        "logs/{preset}/{entry}{seed}/run_page.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        content=INPUTS.content,
        beside=INPUTS.beside,
    shell:
        "rankdet report run {wildcards.entry:q} --only {wildcards.entry:q}{wildcards.seed}"
        " --preset {wildcards.preset:q} --results results/{wildcards.preset:q} --data {input.data:q}"
        " --logs logs/{wildcards.preset:q} --beside {params.beside:q} > {log:q} 2>&1"


rule table:
    input:
        metrics=lambda wildcards: INPUTS.results(wildcards, "metrics.json"),
        runs=lambda wildcards: INPUTS.records(wildcards, "run.json"),
        pages=INPUTS.pages,
    output:
        report(
            multiext("results/{preset}/tables/{table}", ".html", ".md", ".csv", ".tex"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "preset": "{preset}"},
        ),
    log:
        "logs/{preset}/tables/{table}.log",
    benchmark:
        "logs/{preset}/tables/{table}.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        content=INPUTS.content,
    shell:
        "rankdet report tables --preset {wildcards.preset:q} --results results/{wildcards.preset:q}"
        " --out results/{wildcards.preset:q}/tables --table {wildcards.table:q} > {log:q} 2>&1"


rule verdicts:
    input:
        metrics=lambda wildcards: INPUTS.results(wildcards, "metrics.json"),
        runs=lambda wildcards: INPUTS.records(wildcards, "run.json"),
    output:
        report(
            "results/{preset}/verdicts.csv",
            caption="../report/verdicts.rst",
            category="Report",
            labels={"verdicts": "{preset}"},
        ),
    log:
        "logs/{preset}/verdicts.log",
    benchmark:
        "logs/{preset}/verdicts.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        content=INPUTS.content,
    shell:
        "rankdet report verdicts --preset {wildcards.preset:q}"
        " --results results/{wildcards.preset:q} --out {output:q} > {log:q} 2>&1"


rule figures:
    input:
        lambda wildcards: INPUTS.measured(wildcards, INPUTS.entries_of(wildcards)),
    output:
        report(
            expand("results/{{preset}}/figures/{figure}.svg", figure=FIGURES),
            caption="../report/figures.rst",
            category="Figures",
            labels={"preset": "{preset}"},
        ),
        expand("results/{{preset}}/figures/{figure}.png", figure=FIGURES),
    log:
        "logs/{preset}/figures.log",
    benchmark:
        "logs/{preset}/figures.benchmark.tsv"
    localrule: True
    resources:
        **REPORT,
    params:
        content=INPUTS.content,
    shell:
        "rankdet report figures --preset {wildcards.preset:q}"
        " --results results/{wildcards.preset:q} --out results/{wildcards.preset:q}/figures > {log:q} 2>&1"


rule page:
    input:
        tables=lambda wildcards: INPUTS.table_files(wildcards.preset, INPUTS.tables_of(wildcards)),
        figures=expand("results/{{preset}}/figures/{figure}.svg", figure=FIGURES),
        pages=INPUTS.pages,
    output:
        report(
            "results/{preset}/report.html",
            caption="../report/page.rst",
            category="Report",
            labels={"preset": "{preset}"},
        ),
    log:
        "logs/{preset}/report.log",
    benchmark:
        "logs/{preset}/report.benchmark.tsv"
    localrule: True
    resources:
        **REPORT,
    params:
        content=INPUTS.content,
    shell:
        "rankdet report html --preset {wildcards.preset:q} --results results/{wildcards.preset:q}"
        " --no-runs --out {output:q} > {log:q} 2>&1"


rule all_rows:
    input:
        lambda wildcards: INPUTS.measured(wildcards, INPUTS.all_rows_of(wildcards)),
        pages=INPUTS.all_pages,
    output:
        page=report(
            "results/{preset}/all/report.html",
            caption="../report/page.rst",
            category="Report",
            labels={"preset": "{preset}, all rows"},
        ),
        tables=INPUTS.every_table("{preset}"),
    log:
        "logs/{preset}/all.log",
    benchmark:
        "logs/{preset}/all.benchmark.tsv"
    localrule: True
    resources:
        **REPORT,
    params:
        content=INPUTS.content,
    shell:
        "rankdet report html --preset {wildcards.preset:q} --results results/{wildcards.preset:q}"
        " --no-runs --out {output.page:q} > {log:q} 2>&1 && rankdet report tables --preset"
        " {wildcards.preset:q} --out results/{wildcards.preset:q}/all/tables >> {log:q} 2>&1"
