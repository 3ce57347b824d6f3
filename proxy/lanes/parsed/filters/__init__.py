"""A user's Python filter: loading its file (`load`), calling it within a time budget (`budget`), and doing what it says
(`decider`). It runs in the engine's threads, when the engine asks."""
