"""An intent and the facts of a host become a `Plan`: ordered rules, first match wins. Pure.

Here too: what a plan leaves out, why a connection is captured or not, and the document that the kernel keeps.
"""
