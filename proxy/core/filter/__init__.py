"""What a user's Python filter sees and may change: heads of requests and of answers, as values."""
