"""Tool calls and thoughts that a model writes into the text of its answer.

Read `answer_filter` first; `call_finder` decides what is a call.
"""
