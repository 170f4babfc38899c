"""A copy of the workflow in a folder of its own, and a way to run Snakemake there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
ENTRIES = ["control_atss_r50", "rs_atss_r50"]


class Project:
    """The workflow's files in ``folder``; results of a run stay there."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        shutil.copy(ROOT / "Snakefile", folder)
        for name in ("workflow", "configs"):
            shutil.copytree(ROOT / name, folder / name)
        (folder / "slurm").symlink_to("workflow/profiles/slurm")
        (folder / "profiles").symlink_to("workflow/profiles")
        path = folder / "configs" / "pipeline.yaml"
        settings = yaml.safe_load(path.read_text())
        settings["presets"]["smoke"] = {"entries": ENTRIES}
        path.write_text(yaml.safe_dump(settings))

    def snakemake(self, *arguments):
        """Run Snakemake as `make demo` does; return the finished process, output merged."""
        bin_folder = Path(sys.executable).parent
        environment = dict(os.environ, PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
        command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local"]
        return subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=900,
        )

    def planned(self, *arguments):
        """Return {rule: jobs} of a dry run."""
        run = self.snakemake("--dry-run", *arguments)
        assert run.returncode == 0, run.stdout
        lines = run.stdout.split("Job stats:", 1)[-1].splitlines()
        rows = [line.split() for line in lines]
        return {
            row[0]: int(row[1])
            for row in rows
            if len(row) == 2 and row[1].isdigit() and row[0].isidentifier()
        }

    def files(self):
        """Return every file below results/, with its time of change."""
        return {
            str(path.relative_to(self.folder)): path.stat().st_mtime_ns
            for path in (self.folder / "results").rglob("*")
            if path.is_file()
        }
