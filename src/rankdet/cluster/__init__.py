"""Running on a cluster: what a job asks for, jobs left over, one launcher per training."""
