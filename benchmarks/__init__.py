"""Measure the program against itself and against the bare client. ``python -m benchmarks`` prints ratios."""
