"""Sizes that kernels and their callers agree on; nothing here needs Numba."""

#: Positions per Philox block.
PACK = 4
#: Runs per block of most kernels: their state and random words stay in the fast caches.
BLOCK = 2048
#: Runs per block of the alias engine's fast kernels.
ALIAS_BLOCK = 2048
#: Runs of the lockstep engine that walk through four positions together.
TILE = BLOCK
#: Lists are written in whole registers: room that they need beyond the runs they could hold.
ROOM = 16
#: Counters of eight bytes each, added to side by side.
LANES = 64

#: Working space of a kernel, uint32 of shape (rows, runs).
CHAIN_SPACE = (2 * PACK + 11, TILE + ROOM)
ALIAS_SPACE = (PACK + 1, ALIAS_BLOCK)
PERMUTE_SPACE = (PACK + 3, ALIAS_BLOCK)
ROUNDS_SPACE = (PACK + 6, BLOCK + ROOM)
