"""Images in messages: detected by content, checked, scaled, and stored in blobs beside the log.

Read `header` first, then `files`, which makes content parts, and `parts`, which moves their data to blobs and back.
"""
