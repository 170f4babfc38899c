# As the row of the Rank & Sort paper, on another code base.
_base_ = ["../rank_sort/rs_mask_r50.py"]
