"""Which rule and which draft length pay: `specsim.plan`, from a pair or from the log of a server."""

from specsim.planner.plan import Plan, plan

__all__ = ["Plan", "plan"]
