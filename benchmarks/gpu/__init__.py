"""What a GPU does with the losses, heads and steps: `make gpu-check`.

Every part also runs on a CPU (``--device cpu --quick``), which is how the tests run them; what
needs a GPU is then said to be not measured.
"""
