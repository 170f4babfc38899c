"""rankdet: ranking-based losses for object detection, and the tables of their papers."""

__version__ = "0.1.0"
