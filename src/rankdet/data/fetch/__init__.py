"""Files from elsewhere: which ones, how they come, and the proof that they are the right ones.

`requests` moves the bytes and `tenacity` repeats what failed; here are the table of what is known
(`configs/downloads.csv`, `configs/checkpoints.csv`), the verification and the messages. Nothing
stands under its final name before it is verified.
"""
