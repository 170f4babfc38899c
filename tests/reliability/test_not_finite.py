"""NaN or inf, wherever it begins, ends the training in that step; the good checkpoint stays."""

import os
import shutil
import signal

import pytest
import torch
from mmengine.structures import InstanceData

from rankdet.datasets.digits import prepare_digits
from rankdet.errors import InputError
from rankdet.training.interruption import Interrupted
from rankdet.training.record import TrainingRecord
from rankdet.training.run import Settings, train
from tests.reliability.runs import PRESET, after_each_step, data_of, gentle_rate, leaves

NAN, INF = float("nan"), float("inf")
ROWS = {
    "aLRP RetinaNet": "alrp_mmdet_alrp_retinanet_r50_500",
    "Rank & Sort, two stages": "rs_mask_r50",
    "AP-Loss code base": "ext_alrp_ap_r50_500",
    "control": "control_frcnn_r50",
}
GOOD = 3  # the training is stopped there; the fault comes in the next step


def batches(change):
    """Change what the model gets, after all steps of the data pipeline."""

    def install(runner):
        own = runner.model.data_preprocessor.forward

        def forward(data, training=False):
            found = own(data, training)
            change(found)
            return found

        runner.model.data_preprocessor.forward = forward

    return install


def pixel(value):
    return batches(lambda data: data["inputs"][0, 0, 0].fill_(value))


def box(value):
    def change(data):
        instances = next(s.gt_instances for s in data["data_samples"] if len(s.gt_instances))
        assert isinstance(instances, InstanceData)
        getattr(instances.bboxes, "tensor", instances.bboxes)[0, 2] = value

    return batches(change)


def heads(model):
    """Return the head of the last stage, and the first one."""
    roi_head = getattr(model, "roi_head", None)
    first = model.rpn_head if roi_head is not None else model.bbox_head
    return (roi_head.bbox_head if roi_head is not None else first), first


def prediction(part, value, every=False, stage=0):
    """Change the scores (part 0) or boxes (1) that a head predicts, in one place or all."""

    def install(runner):
        def hook(module, arguments, found):
            tensors = found[part] if isinstance(found[part], list) else [found[part]]
            changed = [tensor + 0 for tensor in tensors]
            for tensor in changed if every else changed[:1]:
                tensor.flatten()[3 : None if every else 4] = value
            new = changed if isinstance(found[part], list) else changed[0]
            return tuple(new if k == part else each for k, each in enumerate(found))

        heads(runner.model)[stage].register_forward_hook(hook)

    return install


def term(value):
    def install(runner):
        own = runner.model.loss

        def loss(*arguments, **named):
            terms = own(*arguments, **named)
            name = next(iter(terms))
            first = terms[name][0] if isinstance(terms[name], list) else terms[name]
            return terms | {name: first * value}

        runner.model.loss = loss

    return install


def trained(runner):
    return [p for p in runner.model.parameters() if p.requires_grad]


def gradient(place, value):
    def install(runner):
        def spoil(found):
            changed = found.clone()
            changed.view(-1)[0] = value
            return changed

        trained(runner)[place].register_hook(spoil)

    return install


def after_step(change):
    """Change something between the optimizer's step and the end of the training's."""

    def install(runner):
        own = runner.optim_wrapper.zero_grad

        def zero_grad(**named):
            own(**named)
            change(runner)

        runner.optim_wrapper.zero_grad = zero_grad

    return install


def spoil_weight(value):
    return after_step(lambda runner: trained(runner)[-1].data.view(-1)[:1].fill_(value))


def spoil_buffer(runner):
    buffers = [b for b in runner.model.buffers() if b.is_floating_point() and b.numel()]
    buffers[-1].data.view(-1)[:1].fill_(INF)


def spoil_momentum(runner):
    state = runner.optim_wrapper.optimizer.state
    next(iter(state.values()))["momentum_buffer"].view(-1)[0] = NAN


def huge_rate(runner):
    for group in runner.optim_wrapper.param_groups:
        group["lr"] = 1e38
    trained(runner)[-1].register_hook(lambda found: found * 0 + 1e3)
    runner.optim_wrapper.clip_grad_kwargs = None


def huge_gradient(runner):
    trained(runner)[0].register_hook(lambda found: found * 0 + 1e30)


PLACES = {
    "pixel NaN": (pixel(NAN), "NaN among its pixels"),
    "pixel inf": (pixel(INF), "inf among its pixels"),
    "pixel -inf": (pixel(-INF), "inf among its pixels"),
    "box NaN": (box(NAN), "NaN among its boxes"),
    "box inf": (box(INF), "inf among its boxes"),
    "score NaN": (prediction(0, NAN), r"\(cls_score.*\) contain NaN"),
    "score inf": (prediction(0, INF), "contain inf"),
    "score -inf": (prediction(0, -INF), "contain inf"),
    "scores inf": (prediction(0, INF, every=True), "contain inf"),
    "box prediction NaN": (prediction(1, NAN), "contain NaN"),
    "box prediction inf": (prediction(1, INF), "contain inf"),
    "box predictions NaN": (prediction(1, NAN, every=True, stage=1), "contain NaN"),
    "loss term NaN": (term(NAN), "loss_.* is NaN"),
    "loss term inf": (term(INF), "loss_.* is (inf|NaN)"),
    "first gradient NaN": (gradient(0, NAN), "the gradient of .* contains NaN"),
    "last gradient inf": (gradient(-1, INF), "the gradient of .* contains inf"),
    "gradient whose norm overflows": (huge_gradient, "the norm of the gradient is inf"),
    "weight NaN": (spoil_weight(NAN), "contains NaN after the step"),
    "buffer inf": (after_step(spoil_buffer), "contains inf after the step"),
    "momentum NaN": (after_step(spoil_momentum), "momentum_buffer of .* NaN after the step"),
    "huge learning rate": (huge_rate, "(inf|NaN) after the step"),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Return (data, work directory) of a row that was stopped after the good steps."""
    found = {}

    def stop(runner):
        if runner.iter + 1 == GOOD:
            os.kill(os.getpid(), signal.SIGTERM)

    def of(entry_id):
        if entry_id not in found:
            folder = tmp_path_factory.mktemp("stopped")
            data = data_of(entry_id, folder)
            with gentle_rate(), after_each_step(stop), pytest.raises(Interrupted):
                train(
                    entry_id, PRESET, data, folder / "work", folder / "c.pth", Settings(threads=1)
                )
            found[entry_id] = data, folder / "work"
        return found[entry_id]

    return of


def check(kind, place, stopped, folder, monkeypatch):
    entry_id, (install, message) = ROWS[kind], PLACES[place]
    data, good = stopped(entry_id)
    work = folder / "work"
    shutil.copytree(good, work)
    before_train = TrainingRecord.before_train

    def before(self, runner):
        before_train(self, runner)
        install(runner)

    monkeypatch.setattr(TrainingRecord, "before_train", before)
    made = []
    with (
        gentle_rate(),
        after_each_step(lambda runner: made.append(runner.iter + 1)),
        pytest.raises(InputError, match=message) as caught,
    ):
        train(entry_id, PRESET, data, work, folder / "c.pth", Settings(threads=1, resume=True))
    text = str(caught.value)
    assert not made  # the step did not end
    assert f"training of {entry_id}" in text and f"iteration {GOOD + 1};" in text
    assert f"stopped_{GOOD}.pth is the last good checkpoint" in text and "\n" not in text
    assert not (folder / "c.pth").exists()
    assert [path.name for path in work.glob("*.pth")] == [f"stopped_{GOOD}.pth"]
    for name, value in leaves(torch.load(work / f"stopped_{GOOD}.pth"), ""):
        if torch.is_tensor(value) and value.is_floating_point():
            assert value.isfinite().all(), name


@pytest.mark.parametrize("index", range(len(PLACES)))
def test_each_place_in_one_row(index, stopped, tmp_path, monkeypatch):
    kind = list(ROWS)[index % len(ROWS)]
    check(kind, list(PLACES)[index], stopped, tmp_path, monkeypatch)


@pytest.mark.heavy  # 4 minutes on two cores
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ROWS)
def test_each_place_in_each_row(kind, place, stopped, tmp_path, monkeypatch):
    check(kind, place, stopped, tmp_path, monkeypatch)


def test_what_is_left_continues(stopped, tmp_path, monkeypatch):
    """Without the fault the training ends as if there had been none."""
    entry_id = ROWS["control"]
    check("control", "weight NaN", stopped, tmp_path, monkeypatch)
    monkeypatch.undo()
    data, _ = stopped(entry_id)
    with gentle_rate():
        out = tmp_path / "c.pth"
        record = train(
            entry_id, PRESET, data, tmp_path / "work", out, Settings(threads=1, resume=True)
        )
    assert record["iterations"] == record["sessions"][-1]["to"]
    assert [session["from"] for session in record["sessions"]] == [0, GOOD]


def test_a_diverging_run_is_told_of_its_rate(tmp_path):
    """No fault is planted: the learning rate alone does it."""
    from rankdet.catalogue.presets import Preset

    data = prepare_digits(tmp_path / "digits", 0, 8, 2)
    wild = Preset("demo", "for this test", "digits", 12, 2, 64, True, 1e18, 1e-3)
    with pytest.raises(InputError, match="lower the learning rate"):
        train(
            ROWS["control"], wild, data, tmp_path / "work", tmp_path / "c.pth", Settings(threads=1)
        )
    assert not list(tmp_path.rglob("*.pth"))
