"""Tests: unit (no privilege), netns (this kernel), e2e (real programs), vm (other kernels), and the lab."""
