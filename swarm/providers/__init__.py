"""What the many servers of the chat API demand and answer: forms of messages and schemas, refusals, errors.

The history is kept in one neutral form. It gets the form that servers accept on the way out, never in the log.
"""
