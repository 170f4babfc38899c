_base_ = ['mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', '../_base_/runtime.py']
model = dict(
    rpn_head=dict(
        type='RankSortRPNHead',
        pool_images=4,
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(_delete_=True, type='RankSortLoss', use_sigmoid=True, delta=0.5),
        loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none'),
        head_weight=0.20),
    roi_head=dict(
        bbox_head=dict(
            type='RankSortShared2FCBBoxHead',
            pool_images=4,
            reg_decoded_bbox=True,
            loss_cls=dict(_delete_=True, type='RankSortLoss', use_sigmoid=True, delta=0.5),
            loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none'))),
    train_cfg=dict(
        rpn=dict(sampler=dict(_delete_=True, type='PseudoSampler')),
        # Nothing is dropped: the sampler only adds the ground-truth boxes to the proposals.
        rcnn=dict(sampler=dict(num=int(1e10)))),
    # Ranking scores are high; the published test threshold is 0.40.
    test_cfg=dict(rcnn=dict(score_thr=0.40)))
train_dataloader = dict(batch_size=4, num_workers=4)
optim_wrapper = dict(optimizer=dict(lr=0.012))
