"""What is done about endpoints that fail: `health` says how much of an endpoint's weight may be used, and why."""
