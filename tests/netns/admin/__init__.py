"""The admin endpoints of a running proxy, as hostile clients use them."""
