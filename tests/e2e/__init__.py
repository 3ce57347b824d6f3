"""Real servers and clients, beside the plain program, through `tidegate run`."""
