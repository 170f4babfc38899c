"""Weights from files: read without running code, in bounded memory."""
