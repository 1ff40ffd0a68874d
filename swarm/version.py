"""The version of the program and of the package."""

# Asking for the installed version takes as long as everything else that --version does.
VERSION = "0.1.0"
