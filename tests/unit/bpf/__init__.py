"""Codecs and layouts that Python and BPF programs share."""
