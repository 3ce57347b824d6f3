"""The lab itself, held to the kernel with rules written by hand."""
