"""The claims: each module here lists some in ``CLAIMS``; `specsim.validation.registry` collects them all."""

if __name__ != "specsim.validation.claims":
    raise ImportError(f"import this package as specsim.validation.claims, not as {__name__}")
