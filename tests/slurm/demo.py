"""Run rows of the demo with a real Slurm and without it; write the queue output and both tables.

    python -m tests.slurm.demo     (make slurm-demo; as root, with Slurm installed)

One training gets less time than it needs, so it is stopped by the time limit, submitted again and
resumed. Writes results/reference/slurm.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import yaml
from benchmarks import kept

from rankdet.outputs import write_text
from tests.slurm.conftest import HERE, start
from tests.workflow.project import Project

ROWS = ["alrp_mmdet_ap_retinanet_r50_500", "rs_atss_r50"]
SHORT_OF_TIME = "rs_atss_r50"
CUT_DOWN = {"iterations": 80, "train_images": 160, "val_images": 40}
TARGET = Path("results/reference/slurm")
SQUEUE = "%.4i %.9P %.12T %.6M %.6l %.5D %.8R %k"
SACCT = "jobid,partition,nnodes,nodelist,state,start,end"


def main() -> None:
    """Run both, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cut-down", action="store_true", help=f"minutes: {CUT_DOWN}")
    parser.add_argument("--minutes", type=int, default=2, help=f"of a job of {SHORT_OF_TIME}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("slurm", "local")]
        through, local = (project(path, options.cut_down) for path in paths)
        begin = time.time()
        shown = run_through(through, Path(folder) / "cluster", options.minutes)
        seconds = time.time() - begin
        begin = time.time()
        run = local.snakemake("demo")
        if run.returncode:
            raise SystemExit(run.stdout)
        write(through, local, shown, options, (seconds, time.time() - begin))
    print(f"{TARGET}: written")


def project(folder: Path, cut_down: bool) -> Project:
    """Return a copy of the workflow whose demo has only our rows."""
    made = Project(folder)
    path = made.folder / "configs" / "pipeline.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["presets"]["demo"] = {"entries": ROWS}
    if cut_down:
        settings["presets"]["demo"]["iterations"] = CUT_DOWN["iterations"]
        settings["digits"] |= {name: CUT_DOWN[name] for name in ("train_images", "val_images")}
    path.write_text(yaml.safe_dump(settings))
    return made


def rows(minutes: int) -> dict[str, dict]:
    """Return what the rows ask of the cluster."""
    asked = {"train": {"gpu": 1}, "predict": {"gpu": 1}, "evaluate": {"partition": "cpu"}}
    short = asked | {"train": {"gpu": 1, "runtime": minutes}}
    return {f"demo/{row}": short if row == SHORT_OF_TIME else asked for row in ROWS}


def run_through(made: Project, cluster: Path, minutes: int) -> dict[str, str]:
    """Run the demo through a Slurm; return what its commands showed."""
    cluster.mkdir()
    with (cluster / "start.log").open("w") as log:
        command = [HERE / "cluster" / "start.sh", cluster, "2", "1"]
        if subprocess.run(command, stdout=log, stderr=log).returncode:
            raise SystemExit((cluster / "start.log").read_text())
    try:
        process = start(made, "demo", options=["--retries", "8"], rows=rows(minutes))
        seen, last = [], ""
        while process.poll() is None:
            now = output_of("squeue", "--sort=i", "--format", SQUEUE)
            states = re.sub(r" +\d+:\d\d ", " ", now)  # the elapsed time of a job always changes
            if states != last:
                seen.append(f"{time.strftime('%H:%M:%S')}\n{now}")
                last = states
            time.sleep(2)
        if process.returncode:
            raise SystemExit((made.folder / "snakemake.log").read_text())
        return {
            "sinfo": output_of("sinfo", "--Node", "--format", "%8N %10P %6T %4c %7m %G"),
            "squeue": "\n".join(seen),
            "squeue-all": output_of("squeue", "--states=all", "--sort=i", "--format", SQUEUE),
            "sacct": output_of("sacct", "--completion", f"--format={SACCT}"),
            "version": output_of("sinfo", "--version").strip(),
        }
    finally:
        subprocess.run([HERE / "cluster" / "stop.sh", cluster], check=True)


def output_of(*command: str) -> str:
    """Return what a command printed."""
    return subprocess.run(command, text=True, capture_output=True, check=False).stdout


def write(
    through: Project,
    local: Project,
    shown: dict,
    options: argparse.Namespace,
    seconds: tuple[float, float],
) -> None:
    """Write what was shown and the tables side by side."""
    for name in ("sinfo", "squeue", "squeue-all", "sacct"):
        text = "\n".join(line.rstrip() for line in shown[name].splitlines())
        write_text(TARGET / f"{name}.txt", text + "\n")
    results = [each.folder / "results/demo" for each in (through, local)]
    tables = sorted((results[0] / "tables").glob("*.md"))
    for table in tables:
        write_text(TARGET / "tables" / table.name, table.read_text())
    same = [t.name for t in tables if t.read_text() == (results[1] / "tables" / t.name).read_text()]
    lines = ["# The demo with Slurm and without it", ""]
    lines += ["Written by `make slurm-demo`: a real Slurm of two virtual nodes on one machine, a"]
    lines += ["pretended GPU each; the trainings themselves compute on the processor, with the"]
    size = f"shortened: {CUT_DOWN}" if options.cut_down else "complete: as in `make demo`"
    lines += [f"digits set. Two rows of the demo, {size}.", ""]
    lines += [
        "| entry | AP with Slurm | without | oLRP with Slurm | without | training jobs |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        metrics = [json.loads((f / row / "metrics.json").read_text())["bbox"] for f in results]
        figures = [f"{m[name]:.6f}" for name in ("AP", "oLRP") for m in metrics]
        count = len(re.findall(rf"rule_train_wildcards_demo_{row}_$", shown["squeue-all"], re.M))
        lines += [f"| {row} | {' | '.join(figures)} | {count} |"]
    run = json.loads((results[0] / SHORT_OF_TIME / "run.json").read_text())
    versions = run["versions"] | {"Slurm": shown["version"], "code": run["git"]}
    lines += [
        "",
        f"Identical tables: {len(same)} of {len(tables)}.",
        f"A training of {SHORT_OF_TIME} got {options.minutes} minute(s) per job: if that is not",
        "enough, it is stopped, submitted again and resumed (see the last column). The",
        f"whole run took {seconds[0] / 60:.1f} minutes, without Slurm {seconds[1] / 60:.1f}.",
        "",
        "| file | what |",
        "|---|---|",
        "| `sinfo.txt` | the nodes |",
        "| `squeue.txt` | the queue during the run, whenever a state had changed |",
        "| `squeue-all.txt`, `sacct.txt` | all jobs at the end (`sacct --completion`: this cluster"
        " has no accounting database) |",
        "| `tables/` | the tables of the run through Slurm |",
        "",
        *kept.where(run["machine"], versions),
    ]
    write_text(TARGET / "README.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
