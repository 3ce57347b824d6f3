"""The proxy's decisions, lanes, telemetry and admin endpoints without a process around them."""
