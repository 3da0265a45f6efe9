"""Compiled kernels. They import nothing but `specsim.engines.jit` and `specsim.engines.philox`."""
