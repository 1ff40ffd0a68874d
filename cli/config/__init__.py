"""`swarmchat config`: show and change settings."""
