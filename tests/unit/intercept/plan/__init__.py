"""The ordered rules that an intent becomes, and keeping them."""
