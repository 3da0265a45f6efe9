"""Records of real decoding: traces and the acceptance logs of inference servers."""
