"""The facts of every verification rule, one file each; `specsim.algorithms.rule.catalogue` collects them."""
