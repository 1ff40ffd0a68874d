"""Which version of the program this is. The package takes it from here."""

# To ask what is installed takes as long as all else that shows the version.
VERSION = "0.1.0"
