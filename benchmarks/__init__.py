"""What is measured; each program writes into results/reference."""

from rankdet import ops

ops.install()  # before any of the programs imports mmdet
