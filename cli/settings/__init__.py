"""Settings: where they come from, and the backends and models that they name.

Read `settings` first, then `wiring`.
"""
