"""What the proxy tells: metrics (rendered in a share of the time), the access log, and the log of its own doings."""
