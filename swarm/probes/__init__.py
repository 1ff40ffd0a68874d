"""Test what a model server can do, and where it misbehaves.

Read `checks` first.
"""
