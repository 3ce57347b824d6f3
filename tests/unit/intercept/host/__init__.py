"""Reading facts about this host out of the kernel's texts."""
