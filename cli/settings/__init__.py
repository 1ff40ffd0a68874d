"""Settings: where they come from, and the backends, models and swarms built from them.

Read `settings` first, then `wiring`.
"""
