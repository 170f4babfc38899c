"""Kind ``dense-forward``: features and a state dict in, predictions, losses, gradients out."""

from __future__ import annotations

from tests.golden.heads.cases import Case
from tests.golden.heads.check import Check
from tests.golden.heads.registry import Builder, replays


@replays("dense-forward")
def replay_forward(case: Case, builder: Builder) -> Check:
    """Replay the towers, the losses and the gradients of features and parameters."""
    check = Check(case)
    head = builder.build(case)
    parameters = case.parameters()
    own = dict(head.named_parameters())
    check.require(set(own) == set(parameters), f"parameters {set(own) ^ set(parameters)}")
    if check.problems:
        return check
    # What is no parameter (the state of the self-balance) keeps its start.
    head.load_state_dict({**head.state_dict(), **parameters})
    features = case.tensors("feat", grad=True)
    scores, boxes = head(features)
    for name, levels in (("cls_score", scores), ("bbox_pred", boxes)):
        for level, (ours, stored) in enumerate(zip(levels, case.stored(name), strict=True)):
            check.close(f"{name}_{level}", ours, stored, atol=1e-5, rtol=1e-5)
    losses = head.loss_by_feat(scores, boxes, case.ground_truth(), case.metas())
    losses = {builder.loss_names.get(name, name): value for name, value in losses.items()}
    check.losses(losses, case.stored_losses())
    sum(value.mean() for value in losses.values()).backward()
    check.gradients("feat", [feature.grad for feature in features], case.stored("grad_feat"))
    for name, parameter in own.items():
        stored = case.outputs.get(f"grad_param.{name}")
        if stored is not None:
            check.gradients(name, [parameter.grad], [stored])
    return check
