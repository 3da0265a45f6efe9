"""Seeded attacks: bad words, files and arguments end in a documented way, never in a traceback.

``make test`` runs a small share; the slow test runs more than 10,000 inputs.
"""

import json
import math
import random
import time
import warnings

import pytest
from click.testing import CliRunner

import specsim
from specsim import theory
from specsim.algorithms import catalogue
from specsim.cli import main
from specsim.grammar import ALGORITHMS, PAIRS
from specsim.pairs.files import write_pair
from specsim.records.acceptance_logs import ALIASES

#: Exit codes that ``specsim --help`` documents and that bad input may have.
DOCUMENTED = {0, 1, 2, 3, 4}
#: Longest that one input may take, in seconds of CPU.
MOST_SECONDS = 20.0

NUMBERS = (
    "0", "1", "2", "3", "-1", "1/3", "0.1", "1e400", "1e-400", "nan", "inf", "-inf", "none", "yes", "no", "",
    "10000000000000000000000", "9" * 400, "1e5", "0x10", "²", "٣", "2-2", "2-2-1", "0.0.1", "1/0",
)  # fmt: skip
NOISE = (
    ",",
    ":",
    "=",
    '"',
    " ",
    "\0",
    "\n",
    "é",
    "💥",
    "\ud800",
    "/",
    ".",
    "..",
    "-",
    "--",
    "%",
    "{",
    "[",
    "*",
)


def word(rng):
    """Return a spelling of an algorithm or a pair, often broken."""
    table = rng.choice((ALGORITHMS, PAIRS))
    keyword = rng.choice([*table])
    keys = [*table[keyword].keys]
    rng.shuffle(keys)
    chosen = keys[: rng.randint(0, len(keys))]
    text = keyword + ":" + ",".join(f"{key}={rng.choice(NUMBERS)}" for key in chosen)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        place = rng.randint(0, len(text))
        text = text[:place] + rng.choice((*NOISE, *NUMBERS, *keys)) + text[place + rng.randint(0, 3) :]
    return text


def good_pair(rng):
    return rng.choice(("paper:3", "random:contexts=2,horizon=3,seed=1", "prefix:tokens=2,horizon=3,seed=1"))


def algorithm(rng):
    name = rng.choice([*catalogue(), "speculative", "batch", "block-verification", "autoregressive"])
    return f"{name}:draft_length={rng.choice((1, 2, 3))},drafts={rng.choice((1, 2))}"


def command(rng):
    """Return the arguments of one invocation."""
    kind = rng.randrange(4)
    if kind == 0:
        return ["expect", word(rng), word(rng)]
    if kind == 1:
        return ["expect", good_pair(rng), rng.choice((word, algorithm))(rng), *rng.choice(([], ["--exact"]))]
    if kind == 2:
        runs = rng.choice(("10", "0", "-1", "1e2", "1.5", "nan", "9" * 30))
        return ["simulate", good_pair(rng), rng.choice((word, algorithm))(rng), "--runs", runs, "--seed", "1"]
    name = rng.choice(("--horizon", "--seed", "--threads", "--engine", "--json", "--nonsense"))
    return ["expect", good_pair(rng), "speculative", name, rng.choice(NUMBERS)]


def log_text(rng):
    """Return an acceptance log, often broken."""
    names = [*ALIASES, *(other for others in ALIASES.values() for other in others)]
    values = (
        0, 1, 2, 3, -1, 1.5, 2**62, 2**63, 10**30, 1e308, math.nan, math.inf, None, True, "x", "3", [],
        [1, 2], [1, [2]], {}, {"1": 2}, {"a": 1}, "9" * 5000,
    )  # fmt: skip
    records = [
        {rng.choice(names): rng.choice(values) for _ in range(rng.randint(0, 5))}
        for _ in range(rng.randint(1, 4))
    ]
    if rng.random() < 0.5:
        return damaged(rng, json.dumps(rng.choice((records, records[0]))).encode())
    rows = [",".join(records[0])] + [",".join(str(value) for value in record.values()) for record in records]
    return damaged(rng, "\n".join(rows).encode())


def damaged(rng, content):
    """Return the bytes with some of them changed, cut or repeated."""
    content = bytearray(content)
    for _ in range(rng.choice((0, 0, 1, 3, 10))):
        if not content:
            break
        place = rng.randrange(len(content))
        action = rng.randrange(4)
        if action == 0:
            content[place] = rng.randrange(256)
        elif action == 1:
            del content[place:]
        elif action == 2:
            del content[place : place + rng.randint(1, 20)]
        else:
            content[place:place] = content[place : place + 50] * rng.randint(1, 3)
    return bytes(content)


class Attack:
    """Runs commands in this process and notes what must not happen."""

    def __init__(self, folder):
        self.folder = folder
        self.runner = CliRunner()
        self.failures = []
        self.count = 0
        self.sources = {"pair": folder / "pair.nc", "certificate": None}
        write_pair(specsim.paper_pair(2), self.sources["pair"])

    def run(self, arguments):
        self.count += 1
        began = time.process_time()
        before = sorted(path.name for path in self.folder.iterdir())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = self.runner.invoke(main, arguments)
        shown = [argument[:80] for argument in map(str, arguments)]
        if result.exit_code not in DOCUMENTED or "Traceback" in result.output:
            self.failures.append((shown, result.exit_code, result.output[-300:]))
        elif result.exit_code == 2 and len(result.stderr.strip().splitlines()) != 1:
            self.failures.append((shown, "more than one line", result.stderr[-300:]))
        if time.process_time() - began > MOST_SECONDS:
            self.failures.append((shown, "slow", f"{time.process_time() - began:.0f} s"))
        if sorted(path.name for path in self.folder.iterdir()) != before:
            self.failures.append((shown, "files left", str([*self.folder.iterdir()])))

    def words(self, rng):
        self.run(command(rng))

    def logs(self, rng):
        path = self.folder / "log"
        path.write_bytes(log_text(rng))
        more = rng.choice(([], ["--draft-length", rng.choice(NUMBERS)]))
        self.run(["models", "trace", "log", str(path), *more])
        path.unlink()

    def files(self, rng):
        path = self.folder / "damaged.nc"
        path.write_bytes(damaged(rng, self.sources["pair"].read_bytes()))
        self.run(["expect", str(path), "speculative"])
        path.unlink()

    def certificates(self, rng):
        if self.sources["certificate"] is None:
            self.sources["certificate"] = theory.lower_bound(
                specsim.paper_pair(2), exact=True
            ).certificate.to_json()
        self.count += 1
        text = damaged(rng, self.sources["certificate"].encode()).decode("utf-8", "replace")
        try:
            theory.check_certificate(specsim.paper_pair(2), text)
            if text != self.sources["certificate"] and json.loads(text) != json.loads(
                self.sources["certificate"]
            ):
                self.failures.append((text[:80], "accepted", ""))
        except theory.CertificateError:
            pass
        except Exception as error:
            self.failures.append((text[:80], repr(error)[:200], ""))


KINDS = ("words", "logs", "files", "certificates")
#: Shares of the kinds: a damaged netCDF file costs more than a word.
SHARES = {"words": 6, "logs": 6, "files": 1, "certificates": 4}


def attack(folder, seed, count):
    rng = random.Random(seed)
    attacker = Attack(folder)
    kinds = [kind for kind in KINDS for _ in range(SHARES[kind])]
    while attacker.count < count:
        getattr(attacker, rng.choice(kinds))(rng)
    return attacker.failures


def spell(failures):
    return "\n".join(map(str, failures[:20])) + f"\n{len(failures)} in all"


def test_bad_input__ends_as_documented(tmp_path):
    failures = attack(tmp_path, 1, 120)
    assert not failures, spell(failures)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_bad_input__ends_as_documented_ten_thousand_times(tmp_path, seed):
    failures = attack(tmp_path, seed, 2500)
    assert not failures, spell(failures)
