"""Redis: one server, a cluster, or sentinels.

Read `backend` first.
"""
