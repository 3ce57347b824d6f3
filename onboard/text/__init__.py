"""YAML as text with positions: how to insert or remove a value and leave every other byte alone."""
