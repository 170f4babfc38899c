_base_ = [
    '../_base_/retinanet.py', '../_base_/coco500.py',
    '../_base_/schedule_100e.py', '../_base_/runtime.py'
]
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
            # Rows H2, I2, I3, I1, H1; each x0, y0, x1, y1, ... As published.
            control_points=[
                [0, 0, 0.4182, 0.0277, 0.4948, 0.2187, 0.6882, 0.2624, 0.8020, 0.6688, 1, 1],
                [0, 0, 0.1279, 0.3696, 0.3056, 0.4708, 0.5198, 0.5290, 0.6983, 0.6709, 1, 1],
                [0, 0, 0.0931, 0.0289, 0.3607, 0.5585, 0.4823, 0.7131, 0.6291, 0.8162, 1, 1],
                [0, 0, 0.4914, 0.1499, 0.5492, 0.1664, 0.6259, 0.3051, 0.7945, 0.6195, 1, 1],
                [0, 0, 0.4130, 0.0798, 0.4356, 0.3571, 0.5361, 0.7063, 0.8097, 0.9083, 1, 1]
            ]),
        loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none')),
    # The released file has score_thr 0.5, and a comment that published figures need 0.05.
    test_cfg=dict(score_thr=0.05, nms=dict(iou_threshold=0.6)))
optim_wrapper = dict(optimizer=dict(lr=0.016))
auto_scale_lr = dict(base_batch_size=64)
