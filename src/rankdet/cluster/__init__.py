"""Running on a cluster: the Slurm queue, locks of work directories, the launcher."""
