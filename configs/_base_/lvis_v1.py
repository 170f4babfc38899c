# LVIS v1: repeat-factor sampling with threshold 1e-3, short side 640 to 800.
_base_ = ["mmdet::_base_/datasets/lvis_v1_instance.py"]
# mmdet's own class needs the lvis package, which stops with the tested NumPy.
train_dataloader = dict(
    batch_sampler=dict(type="GroupBatchSampler"),
    dataset=dict(dataset=dict(type="LvisDataset")),
)
val_dataloader = dict(dataset=dict(type="LvisDataset"))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type="RankdetMetric",
    ann_file="data/lvis_v1/annotations/lvis_v1_val.json",
    iou_types=["bbox", "segm"],
    protocol="lvis",
)
test_evaluator = val_evaluator
