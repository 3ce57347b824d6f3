"""What becomes of a connection."""
