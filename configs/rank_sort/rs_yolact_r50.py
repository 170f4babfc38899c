_base_ = ['mmdet::yolact/yolact_r50_1xb8-55e_coco.py', '../_base_/runtime.py']
model = dict(
    bbox_head=dict(
        type='RankSortYOLACTHead',
        loss_step=dict(type='RankSortStep'),
        pool_images=8,
        use_ohem=False,
        loss_cls=dict(_delete_=True, type='RankSortLoss', use_sigmoid=True, delta=0.5, eps=1e-10),
        loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none')),
    mask_head=dict(
        type='RankSortYOLACTProtonet',
        proto_channels=(256, 256, 256, None, 256, 32),
        with_seg_branch=False,
        # 1e-5 in the denominator, half of it in each of its sums.
        loss_mask=dict(
            type='DiceLoss', use_sigmoid=True, activate=False, reduction='none', eps=5e-6),
        # Neither is read: the loss is balanced, and all positives of an image count.
        loss_mask_weight=1.0,
        max_masks_to_train=None))
# The order of mmdetection 2.8; 3.3 moves the photometric distortion behind the flip.
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4.0, 4.0)),
    dict(
        type='SsdPhotometricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18),
    dict(type='Expand', mean=[123.68, 116.78, 103.94], to_rgb=True, ratio_range=(1, 4)),
    dict(type='MinIoURandomCrop', min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    dict(type='Resize', scale=(550, 550), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    batch_sampler=dict(_delete_=True, type='GroupBatchSampler'),
    dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=55, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=501),
    dict(type='CosineAnnealingLR', begin=0, end=55, T_max=55, by_epoch=True, eta_min=0.0)
]
optim_wrapper = dict(optimizer=dict(lr=0.006, momentum=0.9, weight_decay=0.0005))
auto_scale_lr = dict(base_batch_size=32)
