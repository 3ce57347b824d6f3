"""Pods and the kinds that make them: what a captured pod gets, where it goes in the file, how it comes out again."""
