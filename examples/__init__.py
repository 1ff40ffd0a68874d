"""Swarms that come with the program, and small programs to learn from."""
