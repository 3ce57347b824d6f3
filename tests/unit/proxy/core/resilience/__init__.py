"""Limits, budgets and ejection."""
