"""From an entry and a preset to a trained, verified checkpoint and its detections."""
