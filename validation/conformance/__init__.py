"""The oracle: conformance of anybody's speculative sampler, with stated error rates."""
