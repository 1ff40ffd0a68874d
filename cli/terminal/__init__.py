"""What the terminal can do, and safe text for it."""
