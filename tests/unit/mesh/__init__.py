"""Documents to one policy, and what is said of wrong ones."""
