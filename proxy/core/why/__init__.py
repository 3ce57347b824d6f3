"""What `tidegate why` says of a connection or a request: lane, detection, route, policy, endpoints.

All of it follows from values: the policy and the health in force, and what was counted of endpoints. Nothing is decided
or used up here.
"""
