"""Recordings of whole official runs: weights by recipe, detections, train steps, schedules, data.

cases: what a folder holds.  weights: official tensors, through our own conversion.  detections,
trajectory, schedule, proposals, pipelines, lvis: the parts.  trim: a small copy for the suite.
"""
