"""Rules of the repository itself: sizes, folders, package pages, and what the documentation may contain."""
