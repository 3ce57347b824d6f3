"""What a policy becomes in the engine's table and in the kernel's maps."""
