_base_ = [
    '../_base_/faster_rcnn.py', '../_base_/coco500.py',
    '../_base_/schedule_100e_75_95.py', '../_base_/runtime.py'
]
# Rows H2, I2, I3, I1, H1; each x0, y0, x1, y1, ... As published, one set for each head.
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
            control_points=[
                [0, 0, 0.9058, 0.0484, 0.9068, 0.5120, 0.9232, 0.7286, 0.9766, 0.9677, 1, 1],
                [0, 0, 0.3200, 0.1084, 0.3493, 0.2482, 0.4924, 0.3869, 0.7231, 0.6510, 1, 1],
                [0, 0, 0.0935, 0.0419, 0.2177, 0.1168, 0.5857, 0.3748, 0.7962, 0.6683, 1, 1],
                [0, 0, 0.0045, 0.3599, 0.1295, 0.4603, 0.7662, 0.5140, 0.8483, 0.5259, 1, 1],
                [0, 0, 0.1764, 0.1081, 0.5245, 0.4907, 0.6956, 0.5668, 0.7642, 0.8645, 1, 1]
            ]),
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
                control_points=[
                    [0, 0, 0.3344, 0.0268, 0.5460, 0.2461, 0.8196, 0.6466, 0.9467, 0.8617, 1, 1],
                    [0, 0, 0.0978, 0.2019, 0.4073, 0.3367, 0.6337, 0.4689, 0.7708, 0.6633, 1, 1],
                    [0, 0, 0.2406, 0.0515, 0.3358, 0.5259, 0.6047, 0.6647, 0.8575, 0.7792, 1, 1],
                    [0, 0, 0.2574, 0.2363, 0.5442, 0.5999, 0.7165, 0.6548, 0.8728, 0.8331, 1, 1],
                    [0, 0, 0.1551, 0.2675, 0.4902, 0.3957, 0.7245, 0.5095, 0.8068, 0.8720, 1, 1]
                ]),
            loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none'))),
    # The RPN keeps the random sampler of the base (256 anchors, half of them positive), as the
    # released file does: merging does not delete it.
    train_cfg=dict(
        rcnn=dict(sampler=dict(_delete_=True, type='PseudoSampler'))),
    # The released file has score_thr 0.5, and a comment that published figures need 0.05.
    test_cfg=dict(rcnn=dict(score_thr=0.05)))
optim_wrapper = dict(optimizer=dict(lr=0.024))
auto_scale_lr = dict(base_batch_size=64)
