"""Compatibility with the many servers of the chat API: forms of messages and schemas, rejections, errors.

The history is stored in one neutral form. It is converted to a form that servers accept only when it is sent.
"""
