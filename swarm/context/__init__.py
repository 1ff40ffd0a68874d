"""From the log to the messages of one request.

Read `builder` first: it states the rules. `groups` holds the units that are kept or dropped whole.
"""
