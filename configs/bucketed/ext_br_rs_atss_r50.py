# As RS-ATSS of the Rank & Sort paper, on another code base.
_base_ = ["../rank_sort/rs_atss_r50.py"]
