"""What needs no privilege and no kernel of its own; folders mirror the packages."""
