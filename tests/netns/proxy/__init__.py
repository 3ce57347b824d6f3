"""The proxy as a process: relaying, limits, configuration, starting and ending."""
