"""Build the messages of a request from the log.

Read `builder` first: it states the rules. `groups` holds the units that are kept or dropped whole.
"""
