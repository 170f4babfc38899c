_base_ = [
    '../_base_/retinanet.py', '../_base_/coco500.py',
    '../_base_/schedule_100e.py', '../_base_/runtime.py'
]
from rankdet import losses  # noqa: E402 -- below _base_: else mmengine reads it as a lazy config

model = dict(
    bbox_head=dict(
        type='RankedRetinaHead',
        loss_step=dict(type='ParameterizedApStep'),
        pool_images=8,
        anchor_generator=dict(scales_per_octave=2),
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        box_gradient_scale=4.1231,
        loss_cls=dict(
            _delete_=True,
            type='ParameterizedApLoss',
            use_sigmoid=True,
            top_k=100000,
            control_points=[list(row) for row in losses.SEARCHED_CONTROL_POINTS['retina']]),
        loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none')),
    # The released file has score_thr 0.5, and a comment that published figures need 0.05.
    test_cfg=dict(score_thr=0.05, nms=dict(iou_threshold=0.6)))
optim_wrapper = dict(optimizer=dict(lr=0.016))
auto_scale_lr = dict(base_batch_size=64)
