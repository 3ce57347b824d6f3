"""Captured DNS over UDP: who is served (askers), passing questions on (relay), and what would go round (queues)."""
