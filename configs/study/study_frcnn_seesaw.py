_base_ = ["study_frcnn_ce.py"]
# Seesaw loss in the box head, as in mmdet's own configs; the RPN has no classes.
model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(
                _delete_=True, type="SeesawLoss", p=0.8, q=2.0, num_classes=80, loss_weight=1.0
            )
        )
    )
)
