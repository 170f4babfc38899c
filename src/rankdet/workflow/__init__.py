"""The Python code of the workflow rules: inputs, resources, plans, running Snakemakes."""
