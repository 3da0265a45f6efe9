"""How kernels are compiled and kept, and the helpers that several kernels share."""
