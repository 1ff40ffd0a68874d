"""The program: the only room that prints, reads the environment, or names a concrete backend."""
