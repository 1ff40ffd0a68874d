"""Events as lines on the screen.

Read `renderer` first.
"""
