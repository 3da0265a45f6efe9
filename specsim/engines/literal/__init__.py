"""The literal engine: one loop over rounds, and one short kernel per verification rule.

The loop (`loop`) drafts the nodes of a round, lets the kernel verify them, records what is emitted and moves
on. It serves every draft structure and every rule, uses no theorem, and is the witness that faster engines
are compared with.

A kernel is a function ``verify(step, nodes) -> (stop, final)`` in ``kernels/NAME.py``: the node at which the
walk through the draft ends, and the token that follows it, or -1 after a path that was accepted to its leaf.
Of a round that the horizon cuts, only the nodes ``0 .. nodes - 1`` are there. ``step`` is described in
`specsim.engines.literal.state.Step`; in short ``step.target[row, token]`` and ``step.draft[row, token]`` are
the rows, ``step.row[node]`` is the row after a node, ``step.token[node]`` its token, ``step.coin[node]`` its
coin in [0, 1), ``step.coin[0]`` the coin of the final draw. Optional functions of the same file:

* ``prepare(target, draft, structure, **parameters) -> (R, P)``: float table, read as ``step.param[row]``;
  rows ``(R, V)``;
* ``propose(step, node) -> token``: drafts a node, for rules that draw their own drafts.

Kernels are ordinary Python functions as well, and run on tables of any kind of numbers. They call nothing but
these helpers of `specsim.engines.literal.helpers`, themselves ordinary Python functions:

| helper | returns |
|---|---|
| ``children(step, node, nodes)`` | the children of a node, a range, empty at a leaf |
| ``draw_weights(weights, coin)`` | a token by weights ``(V,)`` of any sum |
| ``excess(step, row, scale)`` | the sum of ``(scale * target - draft)_+`` of a row |
| ``draw_excess(step, row, scale)`` | a token by ``(scale * target - draft)_+``, with ``step.coin[0]`` |
| ``copy(values, weights)`` | nothing: copies values into working space, such as ``step.room[0]`` |
| ``subtract(weights, factor, row)`` | turns weights into ``(weights - factor * row)_+``; their sum |
| ``powers(low, high, count)`` | ``(high^count - low^count) / (high - low)`` |
| ``untried(step, node, end, weights)`` | weights of the draft row less the children before `end`; the sum |
| ``second_coin(step, node)`` | another coin of a node |
| ``lasting_coin(step, node)`` | a coin of a chain's position, the same in every round that drafts it |
| ``race(step, node, weights)`` | a token by weights, with noise that the node has once (not enumerable) |
| ``race_of_all(step, first, last, weights)`` | the same with the noises of several nodes (not enumerable) |
| ``point(step, node, number)`` | a random point of a node: token, height, time (not enumerable) |

How exact it is: drafted tokens, and target tokens after an accepted path, are drawn from the integer weights
of the rows, without rounding. Coins have 53 bits, and tests and residuals are computed in float64, so that a
probability is off by about 2^-53; no helper returns a token of weight 0.
"""
