"""Built-in swarms, and small programs to learn from."""
