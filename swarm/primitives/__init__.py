"""What is kept beside the log: states, memory, navigation, bans and presence."""
