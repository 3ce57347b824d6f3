"""The admin and the telemetry endpoint: a small HTTP server, and what it answers.

A new endpoint is one function in `endpoints.py` and one line in its table. HTTP and hostile clients are the
business of `serve.py` and what it is made of, who may ask for what that of `answer.py`: never an endpoint's.
"""
