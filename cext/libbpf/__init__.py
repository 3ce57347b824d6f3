"""The system's libbpf, bound through cffi: objects, maps, links, pins, and the verifier's log in the error."""
