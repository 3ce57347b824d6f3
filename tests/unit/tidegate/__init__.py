"""The commands: flags, exit codes, what is printed."""
