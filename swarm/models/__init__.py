"""Language models: one interface, OpenAI-compatible servers, and models that need no network.

Read `base` first: a request goes in, chunks come out, an `Answer` ends them.
"""
