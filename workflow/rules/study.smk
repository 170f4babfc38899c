# Studies (configs/studies.yaml): their trainings are rows of the presets <study>-<set>, so the rules
# train, predict and evaluate run them. The chosen learning rates are a checkpoint of the DAG.
STUDY_PAGE = dict(caption="../report/study.rst", category="Studies", labels={"study": "{study}"})


rule study_digits:
    output:
        "data/prepared/{studyset}/dataset.json",
    log:
        "logs/data/{studyset}.log",
    benchmark:
        "logs/data/{studyset}.benchmark.tsv"
    resources:
        **RESOURCES.of("study_digits", mem_mb=1000, runtime=10),
    params:
        options=STUDIES.digits_options,
    shell:
        "rankdet prepare digits --out data/prepared/{wildcards.studyset:q} {params.options} > {log:q} 2>&1"


checkpoint study_rates:
    input:
        STUDIES.tried,
    output:
        "results/studies/{study}/rates.json",
    log:
        "logs/studies/{study}/rates.log",
    benchmark:
        "logs/studies/{study}/rates.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "rankdet study rates {wildcards.study:q} --results results --out {output:q} > {log:q} 2>&1"


rule calibrate:
    input:
        data=INPUTS.dataset,
        detections="results/{preset}/{entry}{seed}/detections.json",
    output:
        "results/{preset}/{entry}{seed}/calibration.json",
    log:
        "logs/{preset}/{entry}{seed}/calibrate.log",
    benchmark:
        "logs/{preset}/{entry}{seed}/calibrate.benchmark.tsv"
    priority: 1  # before the next training, so that a stopped study has whole runs
    resources:
        **RESOURCES.of("calibrate", mem_mb=4000, runtime=30),
    shell:
        "rankdet calibrate --dataset {input.data:q} --detections {input.detections:q} --hold-out 0.5"
        " --out {output:q} > {log:q} 2>&1"


rule study_report:
    input:
        STUDIES.measured,
        rates="results/studies/{study}/rates.json",
    output:
        report("results/studies/{study}/report.html", **STUDY_PAGE),
        multiext("results/studies/{study}/", "runs.csv", "summary.csv", "report.md"),
        expand(
            "results/studies/{{study}}/{figure}.{kind}", figure=STUDY_FIGURES, kind=("svg", "png")
        ),
    log:
        "logs/studies/{study}/report.log",
    benchmark:
        "logs/studies/{study}/report.benchmark.tsv"
    localrule: True
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "rankdet study report {wildcards.study:q} --results results"
        " --out results/studies/{wildcards.study:q} > {log:q} 2>&1"
