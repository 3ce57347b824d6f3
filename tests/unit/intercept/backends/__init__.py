"""What each backend makes of a plan, up to the bytes that the kernel gets."""
