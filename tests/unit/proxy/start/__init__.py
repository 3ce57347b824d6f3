"""What the proxy keeps when it has given up the rest."""
