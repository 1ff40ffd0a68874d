"""Helpers that know nothing of chats: JSON, names, cancellation, hooks."""
