"""Files attached to a message: found by their paths, read within a limit, and written into it."""
