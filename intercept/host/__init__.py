"""What is read from this host (addresses, cgroups, listeners, privileges), and small changes beside the rules."""
