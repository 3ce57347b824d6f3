"""The direct lane: connections that the kernel balances itself."""
