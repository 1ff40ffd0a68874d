"""Helpers that know nothing of chats: JSON, names, cancellation, heartbeats, hooks."""
