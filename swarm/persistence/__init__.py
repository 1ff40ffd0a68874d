"""The stored form of sessions: keys, records, the log, the lease and the commit.

Read `records` first, then `log`, then `journal`, which commits all of it together.
"""
