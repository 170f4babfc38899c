"""`snakemake --profile slurm`, literally, from the root of a fresh clone: a dry run, no cluster."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TARGET = "results/paper/rs_atss_r50/metrics.json"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout, so there is nothing to clone")
    folder = tmp_path_factory.mktemp("fresh") / "rankdet"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def snakemake(folder, *arguments):
    environment = dict(os.environ, XDG_CONFIG_HOME=str(folder / "none"))
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["snakemake", "--profile", "slurm", "--dry-run", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )


def asked(output):
    """Return {rule: its line of resources} of a dry run."""
    return dict(re.findall(r"^rule (\w+):\n(?: {4}.*\n)*? {4}resources: (.*)", output, re.M))


def with_site(tmp_path, **cluster):
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({"cluster": cluster}))
    return ("--configfile", str(path), "--", TARGET)


def test_the_short_name_resolves_in_a_fresh_clone(clone):
    assert os.readlink(clone / "slurm") == "workflow/profiles/slurm"
    run = snakemake(clone, TARGET)
    assert run.returncode == 0, run.stdout
    assert re.search(r"Using profiles? slurm\b", run.stdout)
    found = asked(run.stdout)
    assert re.search(r"\bruntime=2880\b.*\bgpu=1\b", found["train"])
    assert "gpu=" not in found["evaluate"]


def test_a_site_and_a_row_change_what_a_job_asks_for(clone, tmp_path):
    row = {"train": {"gpu": 4, "mem_mb": 64000, "runtime": 600}}
    site = dict(partition="long", account="lab", gpu_model="h100", rows={"paper/rs_atss_r50": row})
    run = snakemake(clone, *with_site(tmp_path, **site))
    assert run.returncode == 0, run.stdout
    train, evaluate = (asked(run.stdout)[rule] for rule in ("train", "evaluate"))
    for text in ("slurm_partition=long", "slurm_account=lab", "gpu=4", "gpu_model=h100"):
        assert text in train
    assert "runtime=600" in train and "mem_mb=64000" in train
    assert "slurm_partition=long" in evaluate and "gpu" not in evaluate


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (dict(walltime="soon"), "'soon' is not of type 'integer'"),
        (dict(partion="x"), "'partion' was unexpected"),
        (dict(gpu_request="gpus"), "'gpus' is not one of"),
        (dict(rules={"trian": {}}), "'trian' is not one of"),
        (dict(rows={"paper/rs_atss_r5": {}}), "got 'paper/rs_atss_r5'; nearest: rs_atss_r50"),
    ],
)
def test_a_wrong_setting_stops_before_anything_starts(clone, tmp_path, cluster, message):
    run = snakemake(clone, *with_site(tmp_path, **cluster))
    assert run.returncode != 0 and message in run.stdout


def test_no_rule_has_retries_of_its_own():
    """They would be tried again inside of each job, and multiply."""
    for path in [ROOT / "workflow" / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]:
        assert not re.search(r"^\s*retries:", path.read_text(), re.M), path.name
    profile = yaml.safe_load((ROOT / "slurm" / "config.v9+.yaml").read_text())
    assert profile["retries"] >= 1 and profile["executor"] == "slurm"


def test_every_rule_that_is_submitted_takes_settings():
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    rules = {
        rule.split(":")[0]: rule
        for rule in re.split(r"^(?:rule|checkpoint) ", text, flags=re.M)[1:]
    }
    submitted = sorted(name for name, rule in rules.items() if "localrule: True" not in rule)
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "cluster.schema.yaml").read_text())
    assert sorted(schema["properties"]["rules"]["propertyNames"]["enum"]) == submitted
    for name in submitted:
        assert re.search(rf'\*\*RESOURCES\.of\(\s*"{name}"', rules[name])


def test_the_executor_is_installed():
    assert shutil.which("snakemake", path=str(Path(sys.executable).parent))
    __import__("snakemake_executor_plugin_slurm")
