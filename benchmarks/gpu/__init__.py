"""Check losses, heads and training steps on a GPU: `make gpu-check`.

Every part also runs on a CPU (``--device cpu --quick``), as in the tests; values that need a GPU
are then shown as not measured.
"""
