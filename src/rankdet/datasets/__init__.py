"""Data sets: the built-in digits, and COCO-format folders that the user already has."""
