"""Real clients and servers of HTTP, with and without the proxy between them: both sides of it say the same bytes."""
