"""eagle-llm: the probabilities of ``Model.sample`` and ``evaluate_posterior``, on trees of given drafts.

Both packages of the wheel are covered: ``eagle.model`` (one sequence) and ``eagle.modelbsne1`` (batches).
Needs an unpacked wheel of eagle-llm (1.2.1 was tried), torch and transformers.
"""

from __future__ import annotations

import ast
import functools
import random
from typing import Any

import numpy as np

from benchmarks.real_samplers import torch_calls
from benchmarks.real_samplers.unpacked import Library, load, locate
from specsim.validation.conformance.adapters import libraries
from specsim.validation.conformance.rules.lossless import RECURSIVE_DISTINCT
from specsim.validation.conformance.subjects import Subject

#: Environment variable that names the folder of the unpacked wheel.
VARIABLE = "SPECSIM_EAGLE_WHEEL"
#: The packages of the wheel: for one sequence, and for batches.
PACKAGES = ("model", "modelbsne1")


def library() -> Library:
    """Find the wheel; see `benchmarks.real_samplers.unpacked.locate`."""
    return locate("eagle", "eagle-llm", VARIABLE)


@functools.cache
def _utils(library: Library, package: str) -> Any:
    libraries.load("transformers", package="transformers")
    return load(library, f"eagle.{package}.utils")


class _Given:
    """torch with ``multinomial`` giving the drafts that the oracle drew."""

    def __init__(self, torch: Any, tokens: Any) -> None:
        self._torch = torch
        self._tokens = tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    def multinomial(self, probabilities: Any, count: int, replacement: bool = False) -> Any:
        return self._tokens


@functools.cache
def _sample_code(library: Library, package: str) -> Any:
    """Return the compiled ``Model.sample`` of cnets.py, whose other imports are too many to stub."""
    path = library.folder / "eagle" / package / "cnets.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == "sample":
            return compile(ast.fix_missing_locations(ast.Module([node], [])), str(path), "exec")
    raise AssertionError("eagle's cnets.py defines no sample")


def _sample(torch: Any, library: Library, package: str, logits: Any, tokens: Any, processor: Any) -> Any:
    scope = {"torch": _Given(torch, tokens)}
    exec(_sample_code(library, package), scope)
    function: Any = scope["sample"]
    return function(None, logits, processor, k=tokens.shape[1])


class _Tree:
    """Where the nodes of a tree are in eagle's order, its levels and its blocks of drafts.

    Attributes
    ----------
    order
        Our node for each of eagle's.
    levels
        For each level the nodes with children, in eagle's order.
    children
        The children of a node, in the order drawn.
    """

    def __init__(self, parents: tuple[int, ...]) -> None:
        self.children: list[list[int]] = [[] for _ in parents]
        paths: list[tuple[int, ...]] = [()]
        for node, parent in enumerate(parents[1:], start=1):
            paths.append((*paths[parent], len(self.children[parent])))
            self.children[parent].append(node)
        self.order = sorted(range(len(parents)), key=lambda node: (len(paths[node]), paths[node]))
        depth = max(map(len, paths))
        self.levels = [
            [node for node in self.order if len(paths[node]) == level and self.children[node]]
            for level in range(depth)
        ]
        self.choices = [list(paths[node]) for node in self.order[1:]]


@functools.cache
def _buffers(library: Library, package: str, parents: tuple[int, ...]) -> tuple[_Tree, Any]:
    tree = _Tree(parents)
    return tree, _utils(library, package).generate_tree_buffers(tree.choices, device="cpu")


class TreeVerification:
    """The functions of one package, by the protocol ``tree``; children are drawn without replacement.

    Parameters
    ----------
    library
        Where it is.
    package
        ``"model"`` or ``"modelbsne1"``.
    temperature
        At which eagle samples. The logits it is given are those of the rows times the temperature, so that
        the rows are the laws at this temperature. Defaults to 1.
    """

    def __init__(self, library: Library, package: str, *, temperature: float = 1.0) -> None:
        self.library = library
        self.package = package
        self.temperature = temperature

    def __call__(self, parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> tuple[Any, Any]:
        """Verify; computed with in float32.

        Parameters
        ----------
        parents
            Shape ``(nodes,)``.
        target, draft
            Probabilities, shape ``(batch, nodes, vocabulary)``.
        tokens
            Drafted tokens, shape ``(batch, nodes)``; that of the root is ignored.
        seed
            Seeds Python's and torch's generators.
        """
        torch = libraries.load("torch", package="torch")
        utils = _utils(self.library, self.package)
        processor = utils.prepare_logits_processor(temperature=self.temperature)
        shape = tuple(int(parent) for parent in parents)
        tree, buffers = _buffers(self.library, self.package, shape)
        rows = torch.as_tensor(np.array(target)).to(torch.float32).log() * self.temperature
        drafts = torch.as_tensor(np.array(draft)).to(torch.float32).log() * self.temperature
        ids = torch.as_tensor(np.array(tokens), dtype=torch.long)
        batch = len(ids)
        depth = len(tree.levels)
        out = np.zeros((batch, depth + 1), np.int64)
        lengths = np.zeros(batch, np.int64)
        kept = utils.random
        utils.random = random.Random(seed)
        try:
            with torch_calls.seeded(torch, seed):
                for row in range(batch):
                    laid = self._drafts(torch, utils, tree, drafts[row], ids[row], processor)
                    path, final = self._verify(utils, tree, buffers, rows[row], laid, processor)
                    out[row, : len(path)] = path
                    out[row, len(path)] = int(torch.multinomial(final, 1))
                    lengths[row] = len(path) + 1
        finally:
            utils.random = kept
        return out, lengths

    def _drafts(self, torch: Any, utils: Any, tree: _Tree, drafts: Any, ids: Any, processor: Any) -> Any:
        """Return tokens, probabilities and rows as ``topK_genrate`` does, blocks filled up with zeros."""
        tokens, chances, levels = [], [], []
        for level in tree.levels:
            rows = []
            for node in level:
                given = ids[tree.children[node]][None, :]
                logits = drafts[node][None, :]
                if self.package == "modelbsne1":
                    logits = logits[None]
                drawn, chance, row = _sample(torch, self.library, self.package, logits, given, processor)
                missing = utils.TOPK - given.shape[1]
                tokens.append(torch.nn.functional.pad(drawn.reshape(1, -1), (0, missing)))
                chances.append(torch.nn.functional.pad(chance.reshape(1, -1), (0, missing)))
                rows.append(row.reshape(1, -1))
            levels.append(torch.cat(rows))
        return torch.cat(tokens), torch.cat(chances), levels

    def _verify(
        self, utils: Any, tree: _Tree, buffers: Any, rows: Any, laid: Any, processor: Any
    ) -> tuple[list[int], Any]:
        torch = libraries.load("torch", package="torch")
        tokens, chances, levels = laid
        batched = self.package == "modelbsne1"
        if batched:
            laid = (tokens[None], chances[None], [level[None] for level in levels])
        candidates, chance, tree_candidates = utils.generate_candidates(
            laid,
            buffers["tree_indices"],
            buffers["retrieve_indices"],
            torch.zeros((1, 1), dtype=torch.long),
            processor,
        )
        logits = rows[torch.tensor(tree.order)][buffers["retrieve_indices"]]
        more = ([False],) if batched else ()
        best, accepted, final = utils.evaluate_posterior(
            logits[None] if batched else logits,
            candidates,
            processor,
            chance,
            laid[2],
            buffers["p_indices"],
            tree_candidates,
            buffers["b_indices"],
            *more,
        )
        if batched:
            best, accepted, final, candidates = best[0], accepted[0], final[0], candidates[0]
        return [int(token) for token in candidates[int(best), 1 : int(accepted) + 1]], final


def subjects() -> tuple[Subject, ...]:
    """Return the verification of both packages, at temperatures 1 and 0.6."""
    found = library()
    return tuple(
        Subject(
            name=f"eagle-llm {found.version}: eagle.{package}, sample and evaluate_posterior"
            + ("" if temperature == 1 else f", temperature {temperature}"),
            protocol="tree",
            run=TreeVerification(found, package, temperature=temperature),
            rule=RECURSIVE_DISTINCT,
            dtypes=("float32", "float64"),
            drawing="without",
            notes="One tree per call; the last token is drawn from the returned row by torch.multinomial.",
        )
        for package in PACKAGES
        for temperature in (1.0, 0.6)
    )
