"""Necks that mmdet's own lack something for."""
