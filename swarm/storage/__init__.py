"""Items found by meaning: storages, their vectors, and the embedders that compute them.

Read `storage` first.
"""
