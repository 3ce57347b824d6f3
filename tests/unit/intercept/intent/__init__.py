"""Flags and documents to an intent, hostile ones included."""
