# Data of the AP-Loss code base at 512 x 512, test at a short side of 500; batch 32 = 4 GPUs x 8.
_base_ = ["coco500.py"]
train_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="SsdPhotometricDistortion",
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18,
        swap=False,
    ),
    dict(type="LightingNoise", std=0.1, prob=0.5),
    dict(
        type="Expand",
        mean=[102.9801, 115.9465, 122.7717],
        to_rgb=False,
        ratio_range=(1, 4),
        prob=0.5,
    ),
    dict(type="OneOverlapCrop", min_ious=(0.1, 0.3, 0.7, 0.9), min_crop_size=0.3),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomInterpolationResize", scale=(512, 512), keep_ratio=False),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="ResizeByFactor", short_side=500, longest=1.666),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_sampler=dict(by_orientation=False),
    dataset=dict(
        type="PixelCocoDataset",
        filter_cfg=dict(filter_empty_gt=True, min_size=0),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(dataset=dict(type="PixelCocoDataset", pipeline=test_pipeline))
test_dataloader = val_dataloader
