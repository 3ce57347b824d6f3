"""Health keeping: what the lanes counted and what probes found becomes one health that every lane takes.

`watch` asks `sources` again and again and publishes what follows (proxy/core/resilience); `prober` sends the active
checks that policies ask for, `attempt` is one of them."""
