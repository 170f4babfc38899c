_base_ = [
    '../_base_/faster_rcnn.py', '../_base_/coco500.py',
    '../_base_/schedule_100e_75_95.py', '../_base_/runtime.py'
]
from rankdet import losses  # noqa: E402 -- below _base_: else mmengine reads it as a lazy config

model = dict(
    rpn_head=dict(
        type='RankedRPNHead',
        loss_step=dict(type='ParameterizedApStep'),
        pool_images=8,
        # Scores start at 0.01.
        init_cfg=dict(
            type='Normal',
            layer='Conv2d',
            std=0.01,
            override=dict(type='Normal', name='rpn_cls', std=0.01, bias_prob=0.01)),
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        box_gradient_scale=1.6950,
        loss_cls=dict(
            _delete_=True,
            type='ParameterizedApLoss',
            use_sigmoid=True,
            top_k=100000,
            control_points=[list(row) for row in losses.SEARCHED_CONTROL_POINTS['rpn']]),
        loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none')),
    roi_head=dict(
        bbox_head=dict(
            type='RankedShared2FCBBoxHead',
            loss_step=dict(type='ParameterizedApStep'),
            pool_images=8,
            reg_decoded_bbox=True,
            box_gradient_scale=7.1324,
            loss_cls=dict(
                _delete_=True,
                type='ParameterizedApLoss',
                use_sigmoid=True,
                top_k=100000,
                control_points=[list(row) for row in losses.SEARCHED_CONTROL_POINTS['roi']]),
            loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none'))),
    # The RPN keeps the random sampler of the base (256 anchors, half of them positive), as the
    # released file does: merging does not delete it.
    train_cfg=dict(
        rcnn=dict(sampler=dict(_delete_=True, type='PseudoSampler'))),
    # The released file has score_thr 0.5, and a comment that published figures need 0.05.
    test_cfg=dict(rcnn=dict(score_thr=0.05)))
optim_wrapper = dict(optimizer=dict(lr=0.024))
auto_scale_lr = dict(base_batch_size=64)
