"""Connections that the engine leaves to Python: decided one by one (`verdicts`), connected (`upstream`), and handed
back to the engine as relays (`relays`). `connections` is the way of each, `connection` its state."""
