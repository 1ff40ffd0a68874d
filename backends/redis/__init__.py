"""The Redis backend: one server, a cluster, or sentinels.

Read `backend` first: it sends commands. `url` parses the URL, `scripts` holds the Lua code of commits and leases,
`errors` translates redis-py's exceptions, and `report` asks the server for its configuration.
"""
