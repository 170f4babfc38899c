"""Tables, figures and pages from what lies in ``results/``: no torch, no mmdet."""
