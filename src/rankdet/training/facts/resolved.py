"""Every field of the catalogue that a resolved config settles."""

from __future__ import annotations

from collections.abc import Callable

from mmengine.config import Config

from rankdet.training.facts import ap_code, assignment, data, losses, model, schedule, testing

# Fields that no config holds are not here: identity, sources, notes, gpus_official (total_batch /
# samples_per_gpu), pretrained_url (the name says which file), metrics_to_report.
FIELDS: dict[str, Callable[[Config], str]] = {
    function.__name__: function
    for function in (
        *(losses.loss_cls, losses.loss_bbox, losses.loss_mask, losses.loss_hparams),
        *(model.backbone, model.neck, model.dcn, model.frozen_stages, model.norm_eval),
        *(model.pretrained, model.anchors, model.box_coder_stds, model.head_type),
        *(assignment.assigner, assignment.sampler),
        *(data.dataset, data.train_scale, data.test_scale, data.augmentations, data.img_mean),
        *(data.img_std, data.to_rgb, data.samples_per_gpu, data.workers_per_gpu),
        data.total_batch,
        *(schedule.epochs, schedule.optimizer, schedule.base_lr, schedule.momentum),
        *(schedule.weight_decay, schedule.grad_clip, schedule.lr_policy, schedule.lr_steps),
        *(schedule.warmup, schedule.warmup_iters, schedule.warmup_ratio),
        *(testing.score_thr, testing.nms, testing.nms_iou, testing.max_per_img),
        *(testing.nms_pre, testing.test_other),
    )
}


def resolved_facts(config: Config) -> dict[str, str]:
    """Return field -> value in the catalogue's words, of a config under preset paper.

    A field that the config does not have (an optimiser of another kind, say) is "unreadable".
    """
    fields = FIELDS | (ap_code.WORDS if config.model.type == ap_code.DETECTOR else {})
    return {name: _read(function, config) for name, function in fields.items()}


def _read(function: Callable[[Config], str], config: Config) -> str:
    try:
        return function(config)
    except (AttributeError, KeyError, StopIteration, TypeError) as error:
        return f"unreadable: {error}"
