"""The cost of a target: jobs of a dry run, measured and stated times, sums."""

import pytest

from rankdet.cli.plan import images_of, time_of
from rankdet.outputs import write_json
from rankdet.planning import DISK_MB, Job, Time, cost, jobs_of, table

DRY_RUN = """Building DAG of jobs...
[Sat Nov 21 07:04:55 2026]
rule search_sample:
    input: results/search/demo/round-000/state.json, data/search/demo/dataset.json
    output: results/search/demo/round-000/sample-1.json
    wildcards: search=demo, round=000, sample=1
    resources: tmpdir=/tmp, mem_mb=16000, gpu=1

[Sat Nov 21 07:04:55 2026]
rule train:
    output: results/paper/rs_atss_r50/checkpoint.pth
    wildcards: preset=paper, entry=rs_atss_r50
    threads: 8
    resources: mem_mb=8000, gpu=1
localrule all:
    input: results/paper/report.html
"""


def test_jobs_are_read_from_a_dry_run():
    assert jobs_of(DRY_RUN) == [
        Job("search_sample", {"search": "demo", "round": "000", "sample": "1"}, 1),
        Job("train", {"preset": "paper", "entry": "rs_atss_r50"}, 1),
        Job("all"),
    ]


def test_hours_and_disk_are_summed():
    jobs = [Job("train", {}, 2), Job("train", {}, 0), Job("table")]
    lines = cost(jobs, lambda job: Time(7200, "stated") if job.rule == "train" else Time())
    train = lines[0]
    assert (train.jobs, train.gpu_hours, train.cpu_hours) == (2, 4, 2)
    assert train.disk_mb == 2 * DISK_MB["train"] and train.source == "stated"
    total = table(lines).splitlines()[-1].split()
    assert total[:4] == ["total", "3", "4.0", "2.0"]


def test_the_papers_search_costs_320_epochs():
    sample = Job("search_sample", {"search": "retinanet", "round": "000", "sample": "0"}, 1)
    assert images_of(sample) == 112_266 + 2500
    training = Job("train", {"preset": "paper", "entry": "rs_atss_r50"}, 1)
    assert images_of(training) == 12 * 117_266


def test_a_measured_time_goes_before_a_stated_one(tmp_path):
    job = Job("search_sample", {"search": "demo", "round": "001", "sample": "0"})
    assert time_of(0.1, tmp_path)(job) == Time(pytest.approx((100 * 8 + 50) * 0.1), "stated")
    for index, seconds in enumerate((10.0, 20.0)):
        path = tmp_path / f"search/demo/round-000/sample-{index}.json"
        write_json(path, {"seconds": seconds})
    assert time_of(0.1, tmp_path)(job) == Time(15.0, "measured")
