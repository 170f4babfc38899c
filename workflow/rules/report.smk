# Tables, figures and pages. Each takes seconds, so these jobs run where Snakemake runs.
REPORT = dict(mem_mb=2000, runtime=10)

# What `snakemake --report` shows of them: a label per file, so that none hides another.
TABLE = dict(caption="../report/table.rst", category="Tables", subcategory=INPUTS.paper_of)
TABLES_TO_VIEW = {
    f"results/{{preset}}/tables/{{table}}.{suffix}": {
        "table": "{table}",
        "preset": "{preset}",
        "view": view,
    }
    for suffix, view in (("html", "page"), ("csv", "spreadsheet"))
}
FIGURES_TO_VIEW = {
    f"results/{{preset}}/figures/{figure}.svg": dict(
        caption=f"../report/figures/{figure}.rst",
        category="Figures",
        labels={"figure": shown.title, "preset": "{preset}"},
    )
    for figure, shown in FIGURES.items()
}

PAGE_OF_ALL = dict(
    caption="../report/page.rst",
    category="Report",
    labels={"preset": "{preset}", "content": "all rows"},
)


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
        "rankdet report run {wildcards.entry:q} --only {wildcards.entry:q}{wildcards.seed:q}"
        " --preset {wildcards.preset:q} --results results/{wildcards.preset:q} --data {input.data:q}"
        " --logs logs/{wildcards.preset:q} --beside {params.beside:q} > {log:q} 2>&1"


rule table:
    input:
        metrics=lambda wildcards: INPUTS.results(wildcards, "metrics.json"),
        runs=lambda wildcards: INPUTS.records(wildcards, "run.json"),
        pages=INPUTS.pages,
    output:
        *[report(path, labels=own, **TABLE) for path, own in TABLES_TO_VIEW.items()],
        multiext("results/{preset}/tables/{table}", ".md", ".tex"),
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
            labels={"preset": "{preset}", "content": "verdicts"},
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
        *[report(path, **own) for path, own in FIGURES_TO_VIEW.items()],
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
            labels={"preset": "{preset}", "content": "rows of the preset"},
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
        page=report("results/{preset}/all/report.html", **PAGE_OF_ALL),
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


rule cards:
    input:
        INPUTS.run_files,
    output:
        report(
            "results/{preset}/{entry}{seed}/model-card.md",
            caption="../report/card.rst",
            category="Runs",
            subcategory="{entry}",
            labels=lambda wildcards: INPUTS.run_labels(wildcards, "model card"),
        ),
        "results/{preset}/{entry}{seed}/metafile.yml",
    log:
        "logs/{preset}/{entry}{seed}/cards.log",
    benchmark:
        "logs/{preset}/{entry}{seed}/cards.benchmark.tsv"
    localrule: True
    resources:
        **REPORT,
    params:
        content=INPUTS.row_content,
    shell:
        "rankdet report cards --preset {wildcards.preset:q} --results results/{wildcards.preset:q}"
        " --run {wildcards.entry:q}{wildcards.seed:q} > {log:q} 2>&1"


rule crate:
    input:
        lambda wildcards: INPUTS.measured(wildcards, INPUTS.entries_of(wildcards)),
        lambda wildcards: INPUTS.cards(wildcards.preset),
    output:
        report(
            "results/{preset}/ro-crate-metadata.json",
            caption="../report/crate.rst",
            category="Report",
            labels={"preset": "{preset}", "content": "provenance (RO-Crate)"},
        ),
    log:
        "logs/{preset}/crate.log",
    benchmark:
        "logs/{preset}/crate.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        entries=lambda wildcards: ",".join(INPUTS.entries_of(wildcards)),
    shell:
        "rankdet report crate --preset {wildcards.preset:q} --results results/{wildcards.preset:q}"
        " --entries {params.entries:q} --out {output:q} > {log:q} 2>&1"
