"""Find out what a model server can do.

Read `checks` first.
"""
