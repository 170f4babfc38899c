_base_ = ["study_atss_focal.py"]
# The numbers of objects come from the data set, when it is connected.
model = dict(
    bbox_head=dict(
        loss_cls=dict(
            _delete_=True, type="ClassBalancedFocalLoss", class_counts=[1] * 80, beta=0.999
        )
    )
)
