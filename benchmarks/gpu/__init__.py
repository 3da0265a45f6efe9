"""What can only be measured on a CUDA device, as one prepared script: ``python -m benchmarks.gpu``."""
