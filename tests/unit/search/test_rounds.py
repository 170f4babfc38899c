"""The files of a search: any order of jobs, no sample twice, mistakes named."""

import json
import random

import pytest
from mmengine.config import Config

from rankdet.errors import InputError
from rankdet.search.plan import Plan, load_plan, load_plans
from rankdet.search.policy import gradient_scale
from rankdet.search.proxy import head_settings, searched_heads
from rankdet.search.rounds import (
    after,
    conclude,
    config_text,
    finished,
    heads_of,
    read_samples,
    read_state,
    start,
    write_sample,
)

SETTINGS = dict(
    entry="pap_pap_retinanet_r50",
    heads=["retina"],
    preset="demo",
    data="digits",
    val_images=10,
    rounds=3,
    samples=4,
    seed=7,
    iterations=5,
    batch_size=2,
)
PLAN = Plan.of("tiny", SETTINGS)


def reward(theta):
    return sum(theta) / len(theta)


def run(folder, order):
    """A whole search without trainings, samples in the order that ``order`` puts them."""
    path = folder / "round-000" / "state.json"
    start(PLAN).write(path)
    states, rounds = [read_state(path)], []
    for turn in range(PLAN.rounds):
        state, paths = states[-1], []
        for index in order(range(PLAN.samples)):
            paths.append(folder / f"round-{turn:03d}" / f"sample-{index}.json")
            outcome = {"reward": reward(state.theta(index)), "failed": False, "seconds": 1.0}
            write_sample(paths[-1], state, index, outcome)
        rounds.append(read_samples(paths, state))
        path = folder / f"round-{turn + 1:03d}" / "state.json"
        after(state, rounds[-1]).write(path)
        states.append(read_state(path))
    return states, rounds


def test_the_order_of_the_jobs_changes_nothing(tmp_path):
    shuffle = random.Random(1)
    one = run(tmp_path / "one", list)
    two = run(tmp_path / "two", lambda indices: shuffle.sample(list(indices), len(indices)))
    assert one == two
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 4 + 12
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    sigmas = [state.policy.sigma for state in one[0]]
    assert sigmas == pytest.approx([0.2, 0.2 * 2 / 3, 0.2 / 3, 0.2 / 3])


def test_a_finished_sample_is_known_again_and_another_is_not(tmp_path):
    state = start(PLAN)
    path = tmp_path / "sample.json"
    assert finished(path, state, 1) is None
    write_sample(path, state, 1, {"reward": 0.3, "failed": False, "seconds": 2.0})
    assert finished(path, state, 1)["reward"] == 0.3
    assert finished(path, state, 2) is None
    longer = Plan.of("tiny", SETTINGS | {"iterations": 6})
    assert finished(path, start(longer), 1) is None
    on_a_cluster = Plan.of("tiny", SETTINGS | {"threads": 8, "gpu": 1})
    assert finished(path, start(on_a_cluster), 1) is not None


def test_a_round_is_updated_only_when_it_is_complete(tmp_path):
    states, _ = run(tmp_path, list)
    paths = sorted((tmp_path / "round-001").glob("sample-*.json"))
    with pytest.raises(InputError, match=r"samples \[0, 1, 2\]"):
        read_samples(paths[:3], states[1])
    with pytest.raises(InputError, match="from another one"):
        read_samples(paths, states[0])


def test_the_gradient_scale_acts_unless_the_published_behaviour_is_asked_for():
    scale = heads_of(start(PLAN), 0)["retina"]["box_gradient_scale"]
    assert scale == gradient_scale(start(PLAN).theta(0)[-1]) != 1
    as_published = Plan.of("tiny", SETTINGS | {"apply_gradient_scale": False})
    assert start(as_published).theta(0) == start(PLAN).theta(0)
    assert heads_of(start(as_published), 0)["retina"]["box_gradient_scale"] == 1


@pytest.mark.parametrize("use", ["best", "mean"])
def test_the_end_names_what_is_used_and_its_config_runs(tmp_path, use):
    states, rounds = run(tmp_path, list)
    found = conclude(states, rounds, head_settings(PLAN.entry), use)
    assert found["used"] == use and found["heads"] == found[use]["heads"]
    rewards = [sample["reward"] for samples in rounds for sample in samples]
    assert found["best"]["reward"] == max(rewards)
    from rankdet.catalogue import load_catalogue

    path = tmp_path / "found.py"
    path.write_text(config_text(found, load_catalogue()[PLAN.entry].config_path))
    head = searched_heads(Config.fromfile(path).model)["retina"]
    wanted = found["heads"]["retina"]
    assert head.box_gradient_scale == pytest.approx(wanted["box_gradient_scale"], rel=1e-5)
    for row, expected in zip(head.loss_cls.control_points, wanted["control_points"], strict=True):
        assert row == pytest.approx(expected, abs=1e-6)
    assert head.loss_cls.top_k == 100000


def test_a_search_that_learned_nothing_has_no_best_sample(tmp_path):
    states, rounds = run(tmp_path, list)
    dead = [[{**sample, "reward": 0.0} for sample in samples] for samples in rounds]
    with pytest.raises(InputError, match="train the proxies longer"):
        conclude(states, dead, {}, "best")


def test_the_papers_searches_are_planned_as_published():
    for name, heads in (("retinanet", ("retina",)), ("faster_rcnn", ("rpn", "roi"))):
        plan = load_plan(name)
        assert (plan.rounds, plan.samples, plan.epochs, plan.batch_size) == (40, 8, 1, 64)
        assert plan.heads == heads == tuple(head_settings(plan.entry))
        assert plan.val_images == 5000 and plan.apply_gradient_scale
    assert {"retinanet", "faster_rcnn", "demo"} <= set(load_plans())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"roundz": 3}, "nearest: rounds"),
        ({"rounds": 0}, "rounds >= 1"),
        ({"iterations": None}, "iterations >= 1"),
        ({"heads": []}, "heads"),
    ],
)
def test_a_wrong_search_is_named(change, message):
    with pytest.raises(InputError, match=message):
        Plan.of("tiny", SETTINGS | change)


def test_a_torn_state_is_named(tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"plan": PLAN.as_json()}))
    with pytest.raises(InputError, match="written by `rankdet search`"):
        read_state(path)


@pytest.mark.parametrize(
    "change",
    [
        {"logits": [0.0]},
        {"logits": ["x"] * 41},
        {"logits": [float("nan")] * 41},
        {"sigma": None},
        {"sigma": 0},
        {"round": "0"},
        {"round": 99},
        {"plan": []},
    ],
)
def test_a_state_of_other_values_is_named(tmp_path, change):
    path = tmp_path / "state.json"
    start(PLAN).write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="written by `rankdet search`"):
        read_state(path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"sample": "x", "reward": 1}', "null"])
def test_a_sample_of_other_values_is_named(tmp_path, text):
    states, _ = run(tmp_path, list)
    paths = sorted((tmp_path / "round-000").glob("sample-*.json"))
    paths[1].write_text(text)
    with pytest.raises(InputError, match="delete it and run it again"):
        read_samples(paths, states[0])
