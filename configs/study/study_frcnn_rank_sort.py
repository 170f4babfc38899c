_base_ = ["../rank_sort/rs_frcnn_r50.py"]
