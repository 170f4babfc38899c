"""What a job asks of the cluster: the row before the rule before the site, and mistakes named."""

import copy

import pytest
import yaml

from rankdet.errors import InputError
from rankdet.paths import configs_dir
from rankdet.workflow.resources import check_rows, requested, resources

SHIPPED = yaml.safe_load((configs_dir() / "cluster.yaml").read_text())["cluster"]
TRAIN = {"mem_mb": 8000, "runtime": 2880, "gpu": 1}
ROW = "paper/rs_atss_r50"


def site(**changes):
    return copy.deepcopy(SHIPPED) | changes


def asked(settings, rule="train", row=ROW, default=TRAIN, attempt=1):
    found = resources(settings, rule, row, default, attempt)
    return {name: value for name, value in found.items() if value is not None}


def test_as_shipped_a_job_asks_for_nothing_of_a_site():
    assert asked(SHIPPED) == dict(mem_mb=8000, runtime=2880, gpu=1, processes=1, passes=0, nodes=1)
    assert asked(SHIPPED, "digits", None, dict(mem_mb=1000, runtime=10)) == dict(
        mem_mb=1000, runtime=10
    )


def test_the_row_wins_over_the_rule_and_the_rule_over_the_site():
    settings = site(
        partition="cpu",
        gpu_partition="gpu",
        account="lab",
        rules={"train": {"mem_mb": 1, "runtime": 100}, "evaluate": {"partition": "fat"}},
        rows={ROW: {"train": {"mem_mb": 2, "account": "other"}}},
    )
    found = asked(settings)
    assert (found["mem_mb"], found["runtime"]) == (2, 100)
    assert (found["slurm_partition"], found["slurm_account"]) == ("gpu", "other")
    assert asked(settings, row="paper/rs_paa_r50")["mem_mb"] == 1
    evaluate = asked(settings, "evaluate", ROW, dict(mem_mb=1, runtime=1))
    assert (evaluate["slurm_partition"], evaluate["slurm_account"]) == ("fat", "lab")
    on_cpu = asked(settings, default=TRAIN | {"gpu": 0})
    assert on_cpu["slurm_partition"] == "cpu" and "gpu" not in on_cpu


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("gpu", dict(gpu=2, gpu_model="h100")),
        ("gres", dict(gres="gpu:h100:2")),
        ("gpus-per-node", dict(slurm_extra="--gpus-per-node=h100:2")),
    ],
)
def test_each_way_to_ask_for_gpus_stands_alone(request_, expected):
    found = asked(site(gpu_request=request_, gpu_model="h100", rules={"train": {"gpu": 2}}))
    names = ("gpu", "gpu_model", "gres", "slurm_extra")
    assert {name: found[name] for name in names if name in found} == expected
    assert found["processes"] == 2


def test_several_nodes_have_one_launcher_each_and_as_many_gpus():
    found = asked(site(rows={ROW: {"train": {"gpu": 8, "nodes": 2}}}))
    assert found["slurm_extra"] == "--gpus-per-node=4"
    assert (found["mpi"], found["tasks"], found["tasks_per_gpu"]) == ("srun", 2, 0)
    assert (found["processes"], found["nodes"]) == (8, 2)


def test_a_row_takes_passes():
    found = asked(site(rows={ROW: {"train": {"gpu": 2, "passes": 2}}}))
    assert (found["processes"], found["passes"]) == (2, 2)


def test_gpus_of_a_rule_leave_presets_without_gpu_alone():
    settings = site(rules={"train": {"gpu": 4}})
    assert requested(settings, "train", "demo/rs_atss_r50", TRAIN | {"gpu": 0})["processes"] == 1


def test_no_job_asks_for_more_than_the_queue_gives_and_only_a_training_goes_on():
    settings = site(walltime=100)
    assert asked(settings)["runtime"] == 100
    again = asked(settings, "evaluate", ROW, dict(mem_mb=10, runtime=40), attempt=2)
    assert (again["mem_mb"], again["runtime"]) == (20, 80)
    assert asked(settings, "evaluate", ROW, dict(mem_mb=10, runtime=40), attempt=4)["runtime"] == (
        100
    )
    assert asked(settings, attempt=3)["mem_mb"] == 8000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": {"paper/rs_atss_r5": {}}}, "known entry; got 'paper/rs_atss_r5'; nearest: rs_a"),
        ({"rows": {"papper/rs_atss_r50": {}}}, "known preset; .*nearest: paper"),
        ({"rules": {"predict": {"gpu": 2}}}, "at most one process and one GPU"),
        ({"rules": {"evaluate": {"gpu": 1}}}, "GPUs for train, predict"),
        (
            {"rules": {"train": {"gpu": 3, "nodes": 2}}},
            "the same number of GPUs on each node.*3 on 2",
        ),
        (
            {"rules": {"train": {"gpu": 4}}, "rows": {ROW: {"train": {"nodes": 3}}}},
            "the same number of GPUs on each node.*4 on 3",
        ),
    ],
)
def test_mistakes_are_named(changes, message):
    base = {"rules": {}, "rows": {}}
    with pytest.raises(InputError, match=message):
        check_rows(site(**base | changes), ["paper", "demo"], ["rs_atss_r50", "rs_paa_r50"])
