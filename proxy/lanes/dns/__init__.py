"""Captured DNS over UDP: who is served (askers), passing questions on (relay), and those that would go round (queues)."""
