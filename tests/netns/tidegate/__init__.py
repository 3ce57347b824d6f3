"""The commands and the companion process, as users and service managers start them."""
