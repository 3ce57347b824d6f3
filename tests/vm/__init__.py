"""What only a guest booted for it can show: a kernel without IPv6, a kernel in lockdown."""
