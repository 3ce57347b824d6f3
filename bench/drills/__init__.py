"""Drills: ten real endpoints of which one is unwell, a fixed rate of requests, and what their caller notices: without
a policy, with each mechanism, with all, and through HAProxy and Envoy beside it."""
