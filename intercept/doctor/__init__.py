"""What this host offers to capture, tried for real and taken away again, and advice on what is missing."""
