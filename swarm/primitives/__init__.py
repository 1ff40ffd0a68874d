"""Data of a session outside its log: states, memory, navigation, bans and presence."""
