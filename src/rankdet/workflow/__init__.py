"""The Python behind the rules of the workflow: inputs, resources, plans, living Snakemakes."""
