"""Capture, proxy and commands on this machine's kernel, in throwaway network namespaces."""
