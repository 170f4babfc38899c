_base_ = ["mmdet::atss/atss_r50_fpn_1x_coco.py", "../_base_/runtime.py"]
model = dict(
    bbox_head=dict(
        type="RankedATSSHead",
        loss_step=dict(type="RankSortStep"),
        pool_images=4,
        anchor_generator=dict(octave_base_scale=4, scales_per_octave=3),
        loss_cls=dict(_delete_=True, type="RankSortLoss", use_sigmoid=True, delta=0.5, eps=1e-10),
        loss_bbox=dict(_delete_=True, type="GIoULoss", reduction="none"),
    ),
    test_cfg=dict(min_bbox_size=-1),  # boxes clipped to an area of zero stay, as in mmdet 2
)
train_dataloader = dict(
    batch_size=4, num_workers=4, batch_sampler=dict(type="GroupBatchSampler")
)
optim_wrapper = dict(optimizer=dict(lr=0.008))
# mmdet 2's warm-up: mmengine's LinearLR counts to end - 1.
param_scheduler = _base_.param_scheduler
param_scheduler[0]["end"] = 501
