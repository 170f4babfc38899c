# RetinaNet of the AP-Loss code base with aLRP Loss; the balance is renewed at every epoch's end.
_base_ = ["ap_code_retinanet.py"]
model = dict(
    bbox_head=dict(
        type="PixelRetinaHead",
        # GIoU with 1e-7 in its areas.
        loss_step=dict(type="AlrpStep", box_measure="giou", giou_eps=1e-7),
        loss_cls=dict(_delete_=True, type="AlrpLoss", use_sigmoid=True, delta=1.0, eps=1e-5),
        loss_bbox=dict(_delete_=True, type="GIoULoss", reduction="none"),
        self_balance=dict(initial=50.0, window=300, interval=50, entries=50),
    )
)
custom_hooks = [dict(type="RenewSelfBalance")]
