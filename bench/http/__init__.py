"""The HTTP lane beside HAProxy, nginx and Envoy: `python -m bench.http`."""
