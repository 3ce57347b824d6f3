"""What is told of connections."""
