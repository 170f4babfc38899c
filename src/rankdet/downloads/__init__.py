"""Files from elsewhere: which ones, how they come, and the proof that they are the right ones.

`table` knows what can be fetched (`configs/downloads.csv`, `configs/checkpoints.csv`), `transfer`
moves bytes with `requests`, `verify` checks them, `obtain` puts the three together, and `data_sets`
unpacks archives. A file gets its final name only after it was verified.
"""
