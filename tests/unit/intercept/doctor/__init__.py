"""What doctor concludes from what it saw."""
