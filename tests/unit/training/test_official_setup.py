"""The official run beside a user's own: equal for every row as it is, marked where it is not."""

import pytest

from rankdet.audit.compare import as_text, compare_setup, differing
from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.datasets.coco import prepare_coco
from rankdet.training.processes import official_passes
from rankdet.training.resolve import resolve
from tests.unit.datasets.own import write_set

CATALOGUE = load_catalogue()
ROWS = [entry.entry_id for entry in CATALOGUE if entry.config_path.is_file()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return prepare_coco(write_set(root / "coco"), root / "dataset.json")


def compared(entry_id, data, change=lambda config: None, passes=None, official=True, **options):
    entry, config = CATALOGUE[entry_id], resolve(entry_id, get_preset("paper"), None)
    if passes is None:
        passes = official_passes(config, config.auto_scale_lr.base_batch_size)
    change(config)
    name = entry.dataset if official else None
    here = (data.name, data.train.image_count, name)
    return compare_setup(
        entry, config.to_dict(), *here, options.pop("processes", 1), passes, **options
    )


@pytest.mark.parametrize("entry_id", ROWS)
def test_a_row_as_it_is_is_the_official_run(entry_id, data):
    settings = compared(entry_id, data)
    assert differing(settings) == []
    values = {setting.name: setting.here for setting in settings}
    assert len(as_text(entry_id, settings).splitlines()) == len(settings) + 1
    assert {"data", "images a step", "images ranked together", "learning rate"} <= set(values)


def other_rate(config):
    config.optim_wrapper.optimizer.lr = 0.02


def other_batch(config):
    config.auto_scale_lr.base_batch_size = 8


def other_epochs(config):
    config.train_cfg.max_epochs = 3


def other_pool(config):
    config.model.bbox_head.pool_images = 2


def other_score(config):
    config.model.test_cfg.score_thr = 0.2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(change=other_rate), "learning rate: official 0.008, here 0.02"),
        (dict(change=other_batch, passes=2), "images a step: official 16, here 8"),
        (dict(change=other_epochs), "epochs: official 12, here 3"),
        (dict(change=other_pool), "images ranked together: official 4, here 2"),
        (dict(change=other_score), "test.dense.score_thr: official 0.05, here 0.2"),
        (dict(passes=1), "images a GPU and pass: official 4, here 16"),
        (dict(official=False), "data: official coco, here coco: 4 images, not the official set"),
        (dict(speed={"bf16": True}), "speed options: official none, here bf16"),
    ],
)
def test_what_differs_is_named(options, said, data):
    settings = compared("rs_atss_r50", data, **options)
    assert said in differing(settings)
    text = as_text("rs_atss_r50", settings)
    marked = [line for line in text.splitlines() if line.endswith("DIFFERS")]
    assert len(marked) == len(differing(settings))
    assert any(line.startswith(said.split(":")[0]) for line in marked)


def test_more_gpus_are_no_other_run(data):
    for processes, passes in ((1, 4), (2, 2), (4, 1)):
        settings = compared("rs_atss_r50", data, passes=passes, processes=processes)
        assert differing(settings) == []
