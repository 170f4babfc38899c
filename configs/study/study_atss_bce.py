_base_ = ["study_atss_focal.py"]
model = dict(
    bbox_head=dict(loss_cls=dict(_delete_=True, type="CrossEntropyLoss", use_sigmoid=True))
)
