"""Trace contexts as requests carry them: W3C's `traceparent` and Zipkin's B3 in both its forms. The engine reads and
continues them by itself (cext/engine/tell/trace.c); a test holds it to what stands here."""
