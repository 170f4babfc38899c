"""A training that finds nothing to learn from says so, with the likely cause, or stops."""

from types import SimpleNamespace

import pytest
import torch

from rankdet.catalogue.presets import get_preset
from rankdet.datasets.coco import prepare_coco
from rankdet.errors import InputError
from rankdet.training.record import WatchPositives
from rankdet.training.run import Settings, train
from tests.unit.datasets.own import write_set


def run(objects, losses, **options):
    """Let the hook see one step for each pair of objects and loss."""
    hook = WatchPositives(**options)
    runner = SimpleNamespace(max_iters=len(losses))
    for count, loss in zip(objects, losses, strict=True):
        sample = SimpleNamespace(gt_instances=range(count))
        hook.after_train_iter(
            runner, 0, {"data_samples": [sample]}, {"loss": torch.tensor(float(loss))}
        )


@pytest.mark.parametrize(
    ("objects", "losses", "said"),
    [
        ([0] * 9, [0] * 9, "the loader filters out"),
        ([0] * 9, [1] * 9, "the loader filters out"),
        ([3] * 9, [0] * 9, "no anchor or point is positive"),
        ([0, 0, 0, 0, 1, 0, 0, 0, 0], [1] * 9, ""),
        ([3] * 9, [0, 0, 0, 0, 1, 0, 0, 0, 0], ""),
        ([2] * 9, [1] * 9, ""),
    ],
)
def test_steps_in_a_row(objects, losses, said, capfd):
    run(objects, losses, steps=5)
    text = capfd.readouterr().err
    assert text.count("rankdet: warning: 5 consecutive steps") == bool(said)
    assert said in text


def test_a_shorter_training_is_judged_at_its_end(capfd):
    run([0, 0], [0, 0])
    assert "2 consecutive steps without a positive" in capfd.readouterr().err


def test_it_stops_where_that_is_asked_for():
    with pytest.raises(InputError, match="objects to learn from; got 5 consecutive steps"):
        run([0] * 9, [0] * 9, steps=5, stop=True)


def test_a_training_on_boxes_that_vanish(tmp_path, capfd):
    """One box on one of many images: the others are in the batches of a short training."""

    def change(content):
        for row in content["annotations"][2:]:
            row["area"] = 0

    data = prepare_coco(write_set(tmp_path / "data", train=change, images=40), tmp_path / "d.json")
    options = dict(seed=0, workers=0)
    train(
        "rs_atss_r50",
        get_preset("smoke"),
        data,
        tmp_path / "w",
        tmp_path / "c.pth",
        Settings(**options),
    )
    assert "2 consecutive steps without a positive" in capfd.readouterr().err
    with pytest.raises(InputError, match="objects to learn from"):
        train(
            *("rs_atss_r50", get_preset("smoke"), data, tmp_path / "w2", tmp_path / "d.pth"),
            settings=Settings(**options, stop_without_positives=True),
        )
    assert not (tmp_path / "d.pth").exists()
