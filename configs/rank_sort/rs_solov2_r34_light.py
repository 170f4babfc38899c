_base_ = ['mmdet::solov2/solov2-light_r34_fpn_ms-3x_coco.py', '../_base_/runtime.py']
model = dict(
    mask_head=dict(
        type='RankSortSOLOV2Head',
        official_order=True,
        pool_images=8,
        loss_cls=dict(_delete_=True, type='RankSortLoss', use_sigmoid=True, delta=0.5, eps=1e-10),
        # Balanced to the value of ranking + sorting: no weight of its own.
        loss_mask=dict(type='DiceLoss', use_sigmoid=True, eps=1e-3, loss_weight=1.0)),
    test_cfg=dict(score_thr=0.2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=501),
    dict(type='MultiStepLR', begin=0, end=36, by_epoch=True, milestones=[27, 33], gamma=0.1)
]
# The official code stands on mmdet 1: boxes name their last pixel, and choose levels and cells.
train_pipeline = _base_.train_pipeline
train_pipeline[1]['type'] = 'LoadLastPixelAnnotations'
train_pipeline[2]['resize_type'] = 'OneFactorResize'
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    batch_sampler=dict(type='GroupBatchSampler'),
    dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.012))
auto_scale_lr = dict(base_batch_size=32)
