"""Deliberately wrong samplers that the oracle must reject, and unusual right ones that it must pass."""
