"""Images in messages: told apart by their content, checked and scaled, and kept in blobs beside the log.

Read `header` first, then `files`, which makes content parts, and `parts`, which moves their data to blobs and back.
"""
