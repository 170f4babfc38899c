_base_ = ["mmdet::paa/paa_r50_fpn_1x_coco.py", "../_base_/runtime.py"]
model = dict(
    bbox_head=dict(
        type="RankedPAAHead",
        loss_step=dict(type="RankSortStep"),
        pool_images=4,
        anchor_generator=dict(octave_base_scale=4, scales_per_octave=3),
        loss_cls=dict(_delete_=True, type="RankSortLoss", use_sigmoid=True, delta=0.5, eps=1e-10),
        loss_bbox=dict(_delete_=True, type="GIoULoss", reduction="none"),
        # It only ranks candidates of the assignment; nothing is trained by it.
        loss_candidate=dict(
            type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0
        ),
    )
)
train_dataloader = dict(
    batch_size=4, num_workers=4, batch_sampler=dict(type="GroupBatchSampler")
)
optim_wrapper = dict(optimizer=dict(lr=0.008))
# mmdet 2's warm-up: mmengine's LinearLR counts to end - 1.
param_scheduler = _base_.param_scheduler
param_scheduler[0]["end"] = 501
