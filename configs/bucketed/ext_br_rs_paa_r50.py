# As RS-PAA of the Rank & Sort paper, on another code base.
_base_ = ["../rank_sort/rs_paa_r50.py"]
