"""Adapters of libraries that come as unpacked wheels: skipped where the wheel is not named.

None of these wheels can be had by an extra. A right sampler fails a test with probability 1e-9 at most.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from specsim.errors import InputError
from specsim.testing import Verdict, check_sampler

ADAPTERS = "benchmarks.real_samplers"
EXAMPLES = Path(__file__).parents[3] / "examples" / "confirmations"


def subjects(module, *arguments):
    try:
        importlib.import_module("torch")
    except ImportError:
        pytest.skip("torch is not installed")
    try:
        return importlib.import_module(f"{ADAPTERS}.{module}").subjects(*arguments)
    except InputError as error:
        pytest.skip(str(error))


def verdict(subject, *only):
    report = check_sampler(subject, effort="quick", alpha=1e-9, budget=20, only=only)
    assert report.verdict is not Verdict.BROKEN, report.sentence
    return report.verdict


def outcome(subject):
    only = {
        "step": ("contract", "joint-law", "acceptance", "residual"),
        "draft-and-verify": ("contract", "joint-law"),
        "decoder": ("contract", "joint-law"),
        "tree": ("contract", "tree-law"),
    }
    return verdict(subject, *only[subject.protocol])


@pytest.mark.parametrize("number", [0, 1])
def test_vllm_legacy(number):
    found = outcome(subjects("vllm_legacy")[number])
    assert found is (Verdict.LOSSLESS, Verdict.LOSSY_AS_DECLARED)[number]


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_vllm_v1(number):
    assert outcome(subjects("vllm_v1")[number]) is Verdict.LOSSLESS


@pytest.mark.slow
@pytest.mark.parametrize("number", range(12))
def test_vllm_v2(number):
    found = subjects("vllm_v2")
    if number >= len(found):
        pytest.skip("this version has fewer methods")
    shares_noise = " 0.24." in found[number].name and "with gumbel_sample" in found[number].name
    if not shares_noise:
        assert outcome(found[number]) in (Verdict.LOSSLESS, Verdict.UNDECIDED)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_sglang_chain(number):
    assert outcome(subjects("sglang_chain")[number]) is Verdict.LOSSLESS


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_lmdeploy(number):
    assert outcome(subjects("lmdeploy")[number]) is Verdict.LOSSLESS


def test_sglang_tree():
    assert outcome(subjects("sglang_tree")[0]) is Verdict.LOSSLESS


def test_flashinfer_chain():
    assert outcome(subjects("flashinfer_chain")[0]) is Verdict.LOSSLESS


def test_a_wrong_kernel_is_found(tmp_path, monkeypatch):
    from benchmarks.real_samplers import flashinfer_chain

    subjects("flashinfer_chain")
    library = flashinfer_chain.library()
    copy = tmp_path / flashinfer_chain._SOURCE
    copy.parent.mkdir(parents=True)
    source = (library.folder / flashinfer_chain._SOURCE).read_text()
    wrong = source.replace("if (u * p < q) {", "if (u * p < 2 * q) {")
    assert wrong != source
    copy.write_text(wrong)
    monkeypatch.setenv(flashinfer_chain.VARIABLE, str(tmp_path))
    assert outcome(flashinfer_chain.subjects()[0]) is Verdict.BIASED


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_eagle(number):
    subject = subjects("eagle")[number]
    found = outcome(subject)
    if "modelbsne1" not in subject.name and "temperature" not in subject.name:
        assert found is Verdict.LOSSLESS
    elif " 1.2.1:" in subject.name:
        assert found is Verdict.BIASED


@pytest.mark.slow
def test_medusa():
    assert outcome(subjects("medusa")[0]) is Verdict.LOSSY_AS_DECLARED


@pytest.mark.slow
def test_litgpt():
    one_round, decoder = subjects("litgpt")
    assert outcome(one_round) in (Verdict.LOSSLESS, Verdict.UNDECIDED)
    if " 0.5.13:" in decoder.name:
        assert outcome(decoder) is Verdict.BIASED


def test_medusas_law_is_what_the_library_does():
    from benchmarks.real_samplers import medusa
    from specsim.validation.conformance.tree_instances import SHAPES

    subject = subjects("medusa")[0]
    rng = np.random.default_rng(3)
    for name in ("2,2", "unbalanced"):
        parents = np.array(SHAPES[name].parents)
        for _ in range(50):
            target = rng.dirichlet(np.full(4, 0.6), (1, len(parents)))
            tokens = np.full((1, len(parents)), -1)
            for node in range(len(parents)):
                children = np.flatnonzero(parents == node)
                tokens[0, children] = rng.permutation(4)[: len(children)]
            emitted, lengths = subject.run(parents, target, None, tokens, 0)
            node = 0
            for token in emitted[0, : lengths[0] - 1]:
                node = next(i for i in range(len(parents)) if parents[i] == node and tokens[0, i] == token)
            law = medusa.TYPICAL_TREE.tree_law(SHAPES[name], target[0], target[0], tokens[0])
            assert law[node, emitted[0, lengths[0] - 1]] == 1


_INTERPRETED = """
import os, sys
os.environ["TRITON_INTERPRET"] = "1"
import warnings
warnings.simplefilter("ignore")
import numpy as np
import torch
from benchmarks.real_samplers import sglang_chain, triton_numpy, vllm_v1, vllm_v2

rng = np.random.default_rng(5)
target, draft = rng.dirichlet(np.ones(5), (6, 3)), rng.dirichlet(np.ones(5), (6, 2))
drafted = rng.integers(5, size=(6, 2))

def chain():
    runs = [sglang_chain.ChainSampling(sglang_chain.library(), block=block) for block in (False, True)]
    return [part for run in runs for part in run(target, draft, drafted, 3)]

def first_engine():
    runs = [vllm_v1.RejectionSample(vllm_v1.library(), draft_rows=rows) for rows in (False, True)]
    return [part for run in runs for part in run(target, draft, drafted, 3)]

def second_engine():
    engine = vllm_v2.Engine(vllm_v2.library(), 9, batch=6, draft_length=2, vocabulary=5)
    at = torch.full((6,), 7)
    drawn = [engine.draft(draft[:, step], at, step).numpy() for step in range(2)]
    tokens, lengths = engine.verify(target, torch.as_tensor(drafted), at)
    return [*drawn, lengths, np.where(np.arange(3) < lengths[:, None], tokens, -1)]

parts = (chain, first_engine, second_engine)
ours = [part() for part in parts]
import triton, triton.language as tl, types
from triton.runtime.errors import InterpreterError
from triton.runtime.interpreter import TensorHandle
log1p = lambda x: tl.core.tensor(TensorHandle(np.log1p(x.handle.data), x.handle.dtype), x.type)
utils = types.ModuleType("vllm.triton_utils")
vars(utils).update(triton=triton, tl=tl, tldevice=types.SimpleNamespace(log1p=log1p), HAS_TRITON=False)
for cache in (sglang_chain._module, vllm_v1._module, vllm_v2._modules):
    cache.cache_clear()
triton_numpy.modules = dict
vllm_v1.triton_modules = vllm_v2.triton_modules = lambda: {"vllm.triton_utils": utils}
for part, mine in zip(parts, ours):
    try:
        theirs = part()
    except InterpreterError as error:
        print(part.__name__, "is not interpreted:", error)
        continue
    for left, right in zip(mine, theirs):
        assert (np.asarray(left) == np.asarray(right)).all(), (part.__name__, left, right)
    print(part.__name__, "is the same")
"""


@pytest.mark.slow
def test_the_stand_in_does_what_tritons_interpreter_does():
    subjects("sglang_chain")
    subjects("vllm_v2")
    pytest.importorskip("triton", reason="triton is not installed")
    done = subprocess.run(
        [sys.executable, "-c", _INTERPRETED], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("is the same") >= 1, done.stdout


CONFIRMATIONS = (
    ("eagle_temperature", "eagle", "1.2.1"),
    ("eagle_batch", "eagle", "1.2.1"),
    ("litgpt_generate", "litgpt", "0.5.13"),
    ("vllm_shared_noise", "vllm_v1", "0.24.0"),
    ("vllm_nan_draft", "vllm_v1", "0.33.0"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("script", "module", "version"), CONFIRMATIONS)
def test_confirmations_without_specsim(script, module, version):
    subjects(module)
    library = importlib.import_module(f"{ADAPTERS}.{module}").library()
    if script == "vllm_nan_draft":
        pytest.importorskip("triton", reason="triton is not installed")
        if library.version != version:
            pytest.skip(f"written for vllm {version}")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{script}.py"), str(library.folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert "specsim" not in (EXAMPLES / f"{script}.py").read_text()
    assert done.returncode == (1 if library.version == version else 0), done.stdout + done.stderr
