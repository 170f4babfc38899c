"""Recordings of whole official runs: weights by recipe, detections, train steps, schedules, data.

cases: what a folder holds.  weights: official tensors, through our own conversion.  steps: our
train steps as recorded.  data_under_test, draws: our data, and official random numbers.  jobs: the
parts of a folder, each compared in a file of its name.  trim: a small copy for the suite.
"""
