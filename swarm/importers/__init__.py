"""Import conversations from files of other programs, and from exported logs.

Read `detect` first.
"""
