"""How `tidegate discover` shows what it has seen, and what it proposes to write down of it."""
