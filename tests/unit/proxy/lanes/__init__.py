"""What goes to the engine and to the kernel, and what comes back."""
