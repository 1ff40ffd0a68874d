"""Recorded conversations as regression tests.

Read `runner` first.
"""
