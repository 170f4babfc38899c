"""Ranking heads by detector; ``loss_step`` of their config names the loss step."""
