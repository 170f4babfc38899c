"""Inputs that once failed when tried as a user would: one command runs a folder of them.

``python -m tests.cases FOLDER [NAME ...]``; each case is a folder with ``cmd.sh`` and its files.
"""
