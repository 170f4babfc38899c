_base_ = [
    "../_base_/ap_code_retinanet.py",
    "../_base_/ap_code_500.py",
    "../_base_/ap_code_schedule.py",
    "../_base_/runtime.py",
]
optim_wrapper = dict(optimizer=dict(lr=0.002))
