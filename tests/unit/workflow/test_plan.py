"""The cost of a target: jobs of a dry run, measured and assumed times, sums."""

import pytest

from rankdet.outputs import write_json
from rankdet.workflow.plan import DISK_MB, Job, Time, cost, images_of, table, time_of


def test_hours_and_disk_are_summed():
    jobs = [Job("train", {}, 2), Job("train", {}, 0), Job("table")]
    lines = cost(jobs, lambda job: Time(7200, "assumed") if job.rule == "train" else Time())
    train = lines[0]
    assert (train.jobs, train.gpu_hours, train.cpu_hours) == (2, 4, 2)
    assert train.disk_mb == 2 * DISK_MB["train"] and train.source == "assumed"
    total = table(lines).splitlines()[-1].split()
    assert total[:4] == ["total", "3", "4.0", "2.0"]


def test_the_papers_search_costs_320_epochs():
    sample = Job("search_sample", {"search": "retinanet", "round": "000", "sample": "0"}, 1)
    assert images_of(sample) == 112_266 + 2500
    training = Job("train", {"preset": "paper", "entry": "rs_atss_r50"}, 1)
    assert images_of(training) == 12 * 117_266


def test_a_measured_time_goes_before_an_assumed_one(tmp_path):
    job = Job("search_sample", {"search": "demo", "round": "001", "sample": "0"})
    assert time_of(0.1, tmp_path)(job) == Time(pytest.approx((100 * 8 + 50) * 0.1), "assumed")
    for index, seconds in enumerate((10.0, 20.0)):
        path = tmp_path / f"search/demo/round-000/sample-{index}.json"
        write_json(path, {"seconds": seconds})
    assert time_of(0.1, tmp_path)(job) == Time(15.0, "measured")
