"""How an endpoint is chosen."""
