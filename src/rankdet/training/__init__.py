"""Training and prediction: from an entry and a preset to a checkpoint and its detections."""
