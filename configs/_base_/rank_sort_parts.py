# What the multi-stage rows of Rank & Sort share. Each row takes the parts it needs.
rank_sort_loss = dict(_delete_=True, type="RankSortLoss", use_sigmoid=True, delta=0.5)
giou_loss = dict(_delete_=True, type="GIoULoss", reduction="none")
# Images that one GPU of the official run ranked together.
pool_images = 4
rank_sort_rpn = dict(
    type="RankedRPNHead",
    loss_step=dict(type="RankSortStep"),
    pool_images=pool_images,
    bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
    loss_cls=rank_sort_loss,
    loss_bbox=giou_loss,
    head_weight=0.20,
)
rank_sort_box = dict(
    type="RankedShared2FCBBoxHead",
    loss_step=dict(type="RankSortStep"),
    pool_images=pool_images,
    reg_decoded_bbox=True,
    loss_cls=rank_sort_loss,
    loss_bbox=giou_loss,
)
all_anchors = dict(sampler=dict(_delete_=True, type="PseudoSampler"))
# Nothing is dropped: the sampler only adds the ground-truth boxes to the proposals.
all_proposals = dict(sampler=dict(num=int(1e10)))
# Proposals that are clipped to an area of zero stay, as in mmdet 2.
keep_flat_boxes = -1
# Ranking scores are high; the published test threshold.
rank_sort_score_thr = 0.40
rank_sort_lr = 0.012  # at 16 images
carafe_neck = dict(
    type="AnyDeviceFPNCarafe",
    start_level=0,
    end_level=-1,
    norm_cfg=None,
    act_cfg=None,
    order=("conv", "norm", "act"),
    upsample_cfg=dict(
        type="carafe",
        up_kernel=5,
        up_group=1,
        encoder_kernel=3,
        encoder_dilation=1,
        compressed_channels=64,
    ),
)
resnet101 = dict(depth=101, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet101"))
resnext101_64x4d = dict(
    type="ResNeXt",
    depth=101,
    groups=64,
    base_width=4,
    init_cfg=dict(type="Pretrained", checkpoint="open-mmlab://resnext101_64x4d"),
)
# Four deformable groups, where mmdet's own configs have one.
deformable = dict(
    dcn=dict(type="DCNv2", deform_groups=4, fallback_on_stride=False),
    stage_with_dcn=(False, True, True, True),
)
# One of these short sides for each image.
short_480_to_960 = dict(
    type="RandomChoiceResize",
    scales=[(1333, side) for side in (480, 560, 640, 720, 800, 880, 960)],
    keep_ratio=True,
)
short_800_to_640 = dict(
    type="RandomChoiceResize",
    scales=[(1333, side) for side in (800, 768, 736, 704, 672, 640)],
    keep_ratio=True,
)
# Any short side in between.
short_640_to_800 = dict(type="RandomResize", scale=[(1333, 640), (1333, 800)], keep_ratio=True)
