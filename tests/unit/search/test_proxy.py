"""Proxy trainings: reward, fail rule, what a short one keeps of its entry; the search's split."""

import pytest
import torch

from rankdet.datasets.coco import prepare_search_split
from rankdet.datasets.digits import prepare_digits
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.models.build import load_config
from rankdet.search.policy import START, meaning
from rankdet.search.proxy import (
    FailRule,
    ProxyFailed,
    proxy_config,
    searched_heads,
    set_heads,
    train_proxy,
)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    digits = prepare_digits(folder / "digits", 0, 12, 2)
    return digits, prepare_search_split(digits, folder / "search" / "dataset.json", 4, 0)


def test_the_split_is_disjoint_annotated_and_the_same_again(split, tmp_path):
    digits, found = split
    images = {name: read_json(found.annotations(name))["images"] for name in ("train", "val")}
    ids = {name: {image["id"] for image in rows} for name, rows in images.items()}
    assert len(ids["val"]) == 4 and not ids["train"] & ids["val"]
    whole = read_json(digits.annotations("train"))
    assert ids["train"] | ids["val"] == {row["image_id"] for row in whole["annotations"]}
    again = prepare_search_split(digits, tmp_path / "dataset.json", 4, 0)
    assert (again.train.sha256, again.val.sha256) == (found.train.sha256, found.val.sha256)
    assert again.train.annotation_count + again.val.annotation_count == len(whole["annotations"])
    other = prepare_search_split(digits, tmp_path / "other.json", 4, 1)
    assert other.val.sha256 != found.val.sha256
    with pytest.raises(InputError, match="annotated train images"):
        prepare_search_split(digits, tmp_path / "none.json", 12, 0)


@pytest.mark.parametrize("entry", ["pap_pap_retinanet_r50", "pap_pap_frcnn_r50"])
def test_a_papers_proxy_is_one_epoch_at_a_constant_rate(entry, split):
    config = load_config(entry)
    heads = list(searched_heads(config.model))
    set_heads(config.model, meaning(START * len(heads), heads))
    short = proxy_config(config, "paper", split[1], 64, epochs=1)
    assert short.train_cfg.max_epochs == 1 and short.train_dataloader.batch_size == 64
    (warm_up,) = short.param_scheduler
    # 500 iterations: LinearLR counts to end - 1.
    assert (warm_up.type, warm_up.end, warm_up.start_factor) == ("LinearLR", 501, 0.001)
    rate = {"pap_pap_retinanet_r50": 0.016, "pap_pap_frcnn_r50": 0.024}[entry]
    assert short.optim_wrapper.optimizer.lr == rate
    test = short.model.test_cfg.get("rcnn", short.model.test_cfg)
    assert test.nms.iou_threshold == 0.5 and test.score_thr == 0.05
    for head in searched_heads(short.model).values():
        assert head.pool_images == 8 and head.box_gradient_scale == 1
        assert len(head.loss_cls.control_points) == 5


def test_other_heads_are_refused():
    config = load_config("pap_pap_retinanet_r50")
    with pytest.raises(InputError, match="got rpn, roi"):
        set_heads(config.model, meaning(START * 2, ["rpn", "roi"]))


@pytest.mark.parametrize("dead", [float("nan"), 1.0, 1 - 9e-7])
def test_more_than_50_dead_iterations_end_a_proxy(dead):
    rule = FailRule()
    for _ in range(50):
        rule.after_train_iter(None, 0, outputs={"loss": torch.tensor(1.7), "loss_pap": dead})
        rule.after_train_iter(None, 0, outputs={"loss": 1.0, "loss_pap": 0.99})
    with pytest.raises(ProxyFailed, match="51 iterations"):
        rule.after_train_iter(None, 0, outputs={"loss_pap": dead})


def test_the_papers_rule_looks_at_the_total():
    """Beside the RPN's loss the total of Faster R-CNN is not 1 where one head learns nothing."""
    rule = FailRule(of_total=True)
    for _ in range(50):
        rule.after_train_iter(None, 0, outputs={"loss": 1.0, "loss_roi_pap": 0.4})
        rule.after_train_iter(None, 0, outputs={"loss": 1.4, "loss_roi_pap": 1.0})
    with pytest.raises(ProxyFailed, match="51 iterations"):
        rule.after_train_iter(None, 0, outputs={"loss": float("nan"), "loss_roi_pap": 0.4})


@pytest.mark.parametrize(
    ("preset", "of_total", "decimals"), [("paper", True, 3), ("demo", False, None)]
)
def test_rule_and_rounding_are_the_published_ones_at_the_papers_size(
    split, preset, of_total, decimals
):
    config = load_config("pap_pap_retinanet_r50")
    short = proxy_config(config, preset, split[1], 2, 2, epochs=1)
    assert (short.proxy.of_total, short.proxy.decimals) == (of_total, decimals)


def test_the_papers_reward_has_three_decimals(split, tmp_path, monkeypatch):
    rounded = iter([0.12345, 0.0005])

    class Run:
        def register_hook(self, hook):
            self.hook = hook

        def train(self):
            self.hook.metrics = {"rankdet/bbox/AP": next(rounded)}

    monkeypatch.setattr("rankdet.search.proxy.prepare_runner", lambda *_: Run())
    config = proxy_config(load_config("pap_pap_retinanet_r50"), "paper", split[1], 64, epochs=1)
    assert train_proxy(config, tmp_path, "test")["reward"] == 0.123
    config = proxy_config(load_config("pap_pap_retinanet_r50"), "demo", split[1], 2, 2)
    assert train_proxy(config, tmp_path, "test")["reward"] == 0.0005


def short_run(split, tmp_path, iterations=2):
    config = load_config("pap_pap_retinanet_r50")
    config = proxy_config(config, "demo", split[1], 2, iterations)
    return train_proxy(config, tmp_path, "test", 0, 1)


def test_a_proxy_gives_a_reward_and_gives_it_again(split, tmp_path):
    one, two = (short_run(split, tmp_path / name) for name in ("one", "two"))
    assert not one["failed"] and 0 <= one["reward"] <= 1
    assert one["reward"] == two["reward"]
    assert not list(tmp_path.rglob("*.pth"))


def test_a_finished_sample_is_not_trained_again(split, tmp_path, monkeypatch):
    from rankdet.cli.search import sample_command
    from rankdet.search import proxy
    from rankdet.search.plan import Plan
    from rankdet.search.rounds import start

    plan = dict(entry="pap_pap_retinanet_r50", heads=["retina"], preset="demo", data="digits")
    plan |= dict(val_images=4, rounds=1, samples=1, seed=0, iterations=1, batch_size=2)
    start(Plan.of("tiny", plan)).write(tmp_path / "state.json")
    trained = []

    def train(*_):
        trained.append(1)
        return {"reward": 0.25, "failed": False, "seconds": 1.0}

    monkeypatch.setattr(proxy, "train_proxy", train)
    out, data = tmp_path / "sample-0.json", split[1].folder / "dataset.json"
    for _ in range(2):
        sample_command(tmp_path / "state.json", 0, data, tmp_path / "work", out)
    assert len(trained) == 1
    before = out.read_bytes()
    out.unlink()  # as Snakemake does with what it did not see finished
    sample_command(tmp_path / "state.json", 0, data, tmp_path / "work", out)
    assert len(trained) == 1 and out.read_bytes() == before


def test_a_proxy_that_diverges_is_worth_nothing(split, tmp_path, monkeypatch):
    from rankdet.models.heads.dense import RankedRetinaHead

    forward = RankedRetinaHead.forward_single

    def broken(self, x):
        logits, deltas = forward(self, x)
        return logits * float("nan"), deltas

    monkeypatch.setattr(RankedRetinaHead, "forward_single", broken)
    outcome = short_run(split, tmp_path)
    assert outcome["reward"] == 0 and outcome["failed"]
    assert outcome["reason"] == "values that are not finite"
