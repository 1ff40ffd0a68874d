"""Whole sessions that are not open: list, copy, search, export, redact and repair.

Read `sessions` first.
"""
