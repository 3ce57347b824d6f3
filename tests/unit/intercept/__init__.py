"""Intents, plans, what backends make of them, and reading other tools' settings."""
