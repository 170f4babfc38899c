"""The losses in torchvision: by hand, in training, saved, in processes. Needs torchvision."""

import copy
import io
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

pytest.importorskip("torchvision", reason="needs torchvision: pip install 'rankdet[torchvision]'")

from torchvision.models import detection

from rankdet.adapters.torchvision import use_alrp, use_ap_loss, use_rank_sort
from tests.adapters.torchvision_models import (
    BUILDERS,
    CLASSES,
    KEYS,
    batch,
    new_model,
    rank_sort_by_hand,
)

torch.set_num_threads(1)
USES = {
    "rank_sort": use_rank_sort,
    "alrp": lambda model: use_alrp(model, period=2),
    "ap": use_ap_loss,
}


@pytest.fixture(params=BUILDERS, ids=str)
def name(request):
    return request.param


@pytest.fixture(params=USES, ids=str)
def use(request):
    return USES[request.param]


def train_step(model, images, targets, optimizer=None):
    losses = model(images, targets)
    model.zero_grad()
    sum(losses.values()).backward()
    if optimizer:
        optimizer.step()
    return {key: value.detach() for key, value in losses.items()}


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)


def test_the_user_sees_the_same_names(name, use):
    plain = new_model(name).state_dict()
    model = use(new_model(name))
    added = model.state_dict().keys() - plain.keys()
    assert plain.keys() <= model.state_dict().keys()
    assert all(".ranking.terms.balance." in key for key in added)
    assert bool(added) == (use is USES["alrp"])
    model.load_state_dict(plain)  # strict: a checkpoint of the plain model
    losses = train_step(model.train(), *batch())
    assert losses.keys() == KEYS[name]
    assert all(each.isfinite() for each in losses.values())
    unused = [
        key
        for key, each in model.named_parameters()
        if each.requires_grad != (each.grad is not None)
    ]
    assert unused == []  # DDP would wait for them
    found = model.eval()(batch()[0])
    assert [each.keys() for each in found] == [{"boxes", "scores", "labels"}] * 2


def captured(model, module, method):
    """Keep the inputs of a loss that was put into the model."""
    kept = []
    original = getattr(module, method)

    def call(*inputs):
        kept.append(inputs)
        return original(*inputs)

    setattr(module, method, call)
    return kept


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_dense_heads_equal_the_losses_by_hand(kind):
    """Values, and gradients of logits and deltas, from the head's own inputs."""
    model = use_rank_sort(new_model(kind)).train()
    kept = captured(model, model.head, "compute_loss")
    with torch.no_grad():  # some way from the prior
        model.head.classification_head.cls_logits.weight.normal_(std=0.1)
    model(*batch((3, 2)))
    targets, outputs, anchors, matched = kept[0]
    leaves = {key: each.detach().requires_grad_() for key, each in outputs.items()}
    found = model.head.ranking.compute_loss(targets, leaves, anchors, matched)
    read = ["cls_logits", "bbox_regression"]
    ours = torch.autograd.grad(sum(found.values()), [leaves[key] for key in read])
    logits, classes, ignored, boxes, truths = [], [], [], [], []
    coder = model.head.box_coder if kind == "fcos" else model.head.regression_head.box_coder
    for index, own in enumerate(matched):
        deltas = leaves["bbox_regression"][index]
        if kind == "fcos":
            decoded = coder.decode(deltas, anchors[index])
        else:
            decoded = coder.decode(deltas, [anchors[index]])[:, 0]
        boxes.append(decoded[own >= 0])
        truths.append(targets[index]["boxes"][own[own >= 0]])
        classes.append(targets[index]["labels"][own[own >= 0]])
        logits.append(leaves["cls_logits"][index])
        ignored.append(own == -2)
    joined = torch.cat(matched)
    classification, box = rank_sort_by_hand(
        torch.cat(logits),
        (joined >= 0).nonzero().squeeze(1),
        torch.cat(classes),
        torch.cat(ignored),
        torch.cat(boxes),
        torch.cat(truths),
    )
    assert len(torch.cat(boxes)) > 5
    torch.testing.assert_close(found["classification"], classification, rtol=1e-6, atol=0)
    torch.testing.assert_close(found["bbox_regression"], box, rtol=1e-5, atol=0)
    expected = torch.autograd.grad(classification + box, [leaves[key] for key in read])
    for one, other in zip(ours, expected, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6 * float(other.abs().max()))


def test_rpn_equals_the_losses_by_hand():
    """All anchors; boxes in the image, where the adapter decodes on a unit anchor."""
    model = use_rank_sort(new_model("faster_rcnn")).train()
    kept = captured(model, model.rpn, "compute_loss")
    places = captured(model, model.rpn, "assign_targets_to_anchors")
    model(*batch((3, 2)))
    objectness, deltas, labels, _ = kept[0]
    anchors, targets = places[0]
    leaves = [each.detach().requires_grad_() for each in (objectness, deltas)]
    found = model.rpn.ranking.compute_loss(*leaves, *kept[0][2:])
    ours = torch.autograd.grad(sum(found), leaves)
    _, truths = model.rpn.assign_targets_to_anchors(anchors, targets)
    joined, truths = torch.cat(labels), torch.cat(truths)
    boxes = model.rpn.box_coder.decode(leaves[1], anchors)[:, 0]
    rows = (joined == 1).nonzero().squeeze(1)
    classification, box = rank_sort_by_hand(
        leaves[0], rows, torch.zeros_like(rows), joined == -1, boxes[rows], truths[rows]
    )
    expected = torch.autograd.grad(0.2 * (classification + box), leaves)
    torch.testing.assert_close(found[0], 0.2 * classification, rtol=1e-5, atol=0)
    for one, other in zip(ours, expected, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6 * float(other.abs().max()))


def test_box_head_equals_the_losses_by_hand():
    """All proposals and the ground truth; class minus background; boxes of the own class."""
    model = use_rank_sort(new_model("faster_rcnn")).train()
    heads = model.roi_heads
    chosen, outputs = [], []
    original = heads.select_training_samples

    def select(proposals, targets):
        chosen.append((sum(len(each) for each in proposals), targets, original(proposals, targets)))
        return chosen[-1][2]

    heads.select_training_samples = select

    def predict(module, inputs, found):
        leaves = [each.detach().requires_grad_() for each in found]
        outputs.append(leaves)
        return tuple(leaves)

    heads.box_predictor.register_forward_hook(predict)
    losses = model(*batch((3, 2)))
    ours = torch.autograd.grad(losses["loss_classifier"] + losses["loss_box_reg"], outputs[0])
    count, targets, (proposals, matched, labels, _) = chosen[0]
    scores, deltas = outputs[0]
    joined = torch.cat(labels)
    assert len(joined) == count + 5 == len(scores)  # nothing was dropped
    boxes = heads.box_coder.decode(deltas, proposals)
    rows = (joined > 0).nonzero().squeeze(1)
    truths = torch.cat([t["boxes"][own] for t, own in zip(targets, matched, strict=True)])
    classification, box = rank_sort_by_hand(
        scores[:, 1:] - scores[:, :1],
        rows,
        joined[rows] - 1,
        joined < 0,
        boxes[rows, joined[rows]],
        truths[rows],
    )
    torch.testing.assert_close(losses["loss_classifier"], classification, rtol=1e-6, atol=0)
    expected = torch.autograd.grad(classification + box, outputs[0])
    for one, other in zip(ours, expected, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6 * float(other.abs().max()))


def test_detections_of_the_box_head_have_the_ranked_scores():
    """Against the library's softmax detections where both say the same: one class."""
    torch.manual_seed(0)
    model = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=2, min_size=64, max_size=64,
        box_detections_per_img=500, box_score_thresh=0.0,
    ).eval()  # fmt: skip
    images = batch()[0]
    expected = model(images)
    found = use_rank_sort(model)(images)
    for ours, other in zip(found, expected, strict=True):
        # With one class softmax is the sigmoid of the difference.
        torch.testing.assert_close(ours["scores"], other["scores"])
        torch.testing.assert_close(ours["boxes"], other["boxes"])
        assert torch.equal(ours["labels"], other["labels"])


def test_scores_of_several_classes_are_sigmoids():
    model = use_rank_sort(new_model("faster_rcnn")).eval()
    heads = model.roi_heads
    heads.score_thresh, heads.nms_thresh = 0.0, 1.0
    logits = torch.randn(3, CLASSES)
    proposals = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40], [5, 5, 30, 30]])
    boxes, scores, labels = heads.postprocess_detections(
        logits, torch.zeros(3, 4 * CLASSES), [proposals], [(64, 64)]
    )
    expected = (logits[:, 1:] - logits[:, :1]).sigmoid()
    order = expected.flatten().argsort(descending=True)
    torch.testing.assert_close(scores[0], expected.flatten()[order])
    assert torch.equal(labels[0], order % (CLASSES - 1) + 1)
    torch.testing.assert_close(boxes[0], proposals[order // (CLASSES - 1)])


def test_fcos_scores_have_the_order_of_the_logits():
    model = new_model("fcos").eval()
    features = torch.randn(1, 256, 8, 8)
    plain = model.head([features])
    found = use_rank_sort(use_rank_sort(model)).head([features])
    assert torch.equal(found["cls_logits"], plain["cls_logits"])
    assert torch.equal(found["bbox_ctrness"].sigmoid(), torch.ones_like(plain["bbox_ctrness"]))
    assert len(model.head._forward_hooks) == 1


def test_a_batch_without_objects(name, use):
    model = use(new_model(name)).train()
    losses = train_step(model, *batch((0, 0)), sgd(model))
    assert losses == dict.fromkeys(KEYS[name], torch.tensor(0.0))
    assert all(each.isfinite().all() for each in model.parameters())
    balances = [module for key, module in model.named_modules() if key.endswith("balance")]
    assert all(module.steps == 0 for module in balances)
    train_step(model, *batch((0, 1)), sgd(model))
    # Without the ground truth among them no proposal fits here, as published for aLRP.
    assert [int(module.steps) for module in balances][:1] == [1] * bool(balances)


def test_autocast(name, use):
    model = use(new_model(name)).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(*batch())
    sum(losses.values()).backward()
    assert all(each.dtype == torch.float32 and each.isfinite() for each in losses.values())
    # On maps of one pixel torch 2.14.1 returns arbitrary bfloat16 gradients of this convolution on
    # a CPU, with the library's own losses, too.
    parameters = {key: each for key, each in model.named_parameters() if "p7" not in key}
    assert all(each.grad.isfinite().all() for each in parameters.values() if each.requires_grad)


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_autocast_changes_the_logits_alone(kind):
    """The loss on bfloat16 outputs is that on the same numbers in float32, bit by bit."""
    model = use_rank_sort(new_model(kind)).train()
    kept = captured(model, model.head, "compute_loss")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(*batch())
    targets, outputs, anchors, matched = kept[0]
    assert outputs["cls_logits"].dtype == torch.bfloat16
    single = {key: each.float() for key, each in outputs.items()}
    assert model.head.ranking.compute_loss(targets, single, anchors, matched) == losses


@pytest.mark.parametrize("kind", ["rank_sort", "alrp"])
def test_save_load_resume(name, kind):
    """Four steps equal two, a checkpoint in a file, and two more: weights, optimizer, balance."""
    use, data = USES[kind], [batch((2, 1)), batch((1, 3))] * 2

    def steps(model, optimizer, part):
        torch.manual_seed(3)
        return [train_step(model, *each, optimizer) for each in part]

    straight = use(new_model(name)).train()
    optimizer = sgd(straight)
    steps(straight, optimizer, data[:2])
    expected = steps(straight, optimizer, data[2:])
    first = use(new_model(name)).train()
    optimizer = sgd(first)
    steps(first, optimizer, data[:2])
    file = io.BytesIO()
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    second = use(new_model(name, seed=5)).train()
    optimizer = sgd(second)
    second.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    assert steps(second, optimizer, data[2:]) == expected
    for one, other in zip(
        second.state_dict().values(), straight.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    weights = [v for k, v in saved["model"].items() if k.endswith("balance.weight")]
    assert all(weight != 50 for weight in weights)  # the period of 2 has passed


def test_a_copy_and_a_file_of_the_model_train_by_themselves(name):
    """As for an average of weights: a copy does not share its loss with the original."""
    model = use_alrp(new_model(name), period=2).train()
    file = io.BytesIO()
    torch.save(model, file)
    copies = [
        copy.deepcopy(model), torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    ]  # fmt: skip
    expected = train_step(model, *batch())
    for other in copies:
        assert all(v == 0 for k, v in other.state_dict().items() if k.endswith("balance.steps"))
        torch.manual_seed(0)
        found = train_step(other, *batch())
        for key, value in found.items():
            torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-3)
        assert all(v == 1 for k, v in other.state_dict().items() if k.endswith("balance.steps"))


def test_another_loss_replaces_the_first():
    model = use_rank_sort(use_alrp(new_model("faster_rcnn"), period=3))
    assert model.state_dict().keys() == new_model("faster_rcnn").state_dict().keys()
    assert "add_gt_proposals" not in vars(model.roi_heads)


@pytest.mark.parametrize("use", [use_rank_sort, lambda m: use_alrp(m, period=1), use_ap_loss])
def test_other_models_are_refused(use):
    masks = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    for model in (torch.nn.Linear(1, 1), masks):
        with pytest.raises(ValueError, match=r"RetinaNet, FCOS or FasterRCNN .* got \w+; call"):
            use(model)


@pytest.mark.parametrize("weight", [0, -1.0, float("nan"), "2", True])
def test_a_box_weight_is_a_number(weight):
    with pytest.raises(ValueError, match="box_weight as a number > 0"):
        use_ap_loss(new_model("retinanet"), box_weight=weight)


def in_double(data):
    images, targets = data
    targets = [{**each, "boxes": each["boxes"].double()} for each in targets]
    return [each.double() for each in images], targets


def rank(index, folder, name, across):
    """Be one of two processes with an image each."""
    torch.set_num_threads(1)
    store = f"file://{folder}/{name}"
    dist.init_process_group("gloo", init_method=store, rank=index, world_size=2)
    model = use_rank_sort(new_model(name), across_processes=across).train().double()
    model.backbone.eval()  # statistics of a batch are of its process
    model = DistributedDataParallel(model)
    images, targets = in_double(batch((3, 1)))
    own = slice(index, index + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        losses = train_step(model, images[own], targets[own], sgd(model))
    found = {key: each.grad for key, each in model.module.named_parameters() if each.requires_grad}
    torch.save((losses, found), Path(folder) / f"{name}{index}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_two_processes_in_one_ranking_equal_one(kind, tmp_path):
    """With across_processes: gradients of all weights are those of one process with both images."""
    torch.multiprocessing.spawn(rank, (str(tmp_path), kind, True), 2)
    (losses, found), (others, _) = (torch.load(tmp_path / f"{kind}{i}.pt") for i in (0, 1))
    model = use_rank_sort(new_model(kind)).train().double()
    model.backbone.eval()
    expected = train_step(model, *in_double(batch((3, 1))))
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(others[key], value, rtol=1e-5, atol=1e-7)
    for key, each in model.named_parameters():
        if each.requires_grad:
            largest = float(each.grad.abs().max())
            torch.testing.assert_close(found[key], each.grad, rtol=1e-6, atol=1e-6 * largest)


def test_two_processes_train(tmp_path):
    """Faster R-CNN, each process with its own ranking, as published: DDP averages the gradients."""
    torch.multiprocessing.spawn(rank, (str(tmp_path), "faster_rcnn", False), 2)
    (losses, found), (others, same) = (torch.load(tmp_path / f"faster_rcnn{i}.pt") for i in (0, 1))
    assert losses != others
    assert all(
        torch.equal(each, same[key]) and each.isfinite().all() for key, each in found.items()
    )
