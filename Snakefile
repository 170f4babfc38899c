# The workflow is workflow/Snakefile, where Snakemake's catalogue of workflows looks for it. This file
# leads there, and is found where the project's commands run.
include: "workflow/Snakefile"


# Snakemake takes no default target from an included file.
rule default:
    default_target: True
    input:
        rules.all.input,
