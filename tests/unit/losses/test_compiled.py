"""torch.compile(fullgraph=True): a loss is one operator, with the bits of the eager path."""

import subprocess
import sys

import pytest
import torch

from rankdet import losses
from rankdet.losses import (
    _ranking,
    alrp_loss,
    ap_loss,
    bucketed,
    parameterized_ap,
    parameterized_ap_loss,
    rank_sort_loss,
)
from rankdet.losses.alrp import _OPERATOR as ALRP
from rankdet.losses.ap import _OPERATOR as AP
from rankdet.losses.rank_sort import _OPERATOR as RANK_SORT
from tests.unit.losses.problems import trained_like

ROWS = losses.SEARCHED_CONTROL_POINTS["roi"]


def qualities_of(logits, targets, errors):
    return torch.zeros_like(logits).masked_scatter(targets > 0, 1 - errors / 2)


LOSSES = {
    "ap": lambda s, t, e: ap_loss(s, t, delta=0.7),
    "alrp": lambda s, t, e: sum(alrp_loss(s, t, e)),
    "localization": lambda s, t, e: alrp_loss(s, t, e)[1],
    "rank_sort": lambda s, t, e: sum(rank_sort_loss(s, t)),
    "ranking": lambda s, t, e: rank_sort_loss(s, t, delta=0.0)[0],
    "sorting": lambda s, t, e: rank_sort_loss(s, t)[1],
    "searched": lambda s, t, e: parameterized_ap_loss(
        s, qualities_of(s, t, e), t, ROWS, top_k=2_000
    ),
    "linear": lambda s, t, e: parameterized_ap_loss(s, qualities_of(s, t, e), t, form="linear"),
    "bucketed_ap": lambda s, t, e: losses.bucketed_ap_loss(s, t),
    "bucketed": lambda s, t, e: sum(losses.bucketed_rank_sort_loss(s, t)),
    "module": lambda s, t, e: sum(losses.RankSortLoss(delta=0.25)(s, t)),
}


@pytest.fixture(autouse=True)
def new_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def values_and_gradients(model, logits, targets, errors):
    scale = torch.tensor(1.7, requires_grad=True)
    inputs = logits.clone().requires_grad_(), errors.clone().requires_grad_()
    value = model(scale, inputs[0], targets, inputs[1])
    return value.detach(), *torch.autograd.grad(value, (scale, *inputs), materialize_grads=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_a_whole_graph_has_the_same_bits(name, dtype):
    def model(scale, logits, targets, errors):
        return LOSSES[name]((logits * scale).sin() * 4, targets, errors) * 1.3

    problem = trained_like(60, 3_000, dtype=dtype)
    expected = values_and_gradients(model, *problem)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    found = values_and_gradients(compiled, *problem)
    assert expected[0] != 0 and (expected[2].any() or expected[3].any())
    for ours, other in zip(found, expected, strict=True):
        assert ours.dtype == other.dtype and torch.equal(ours, other)


def test_another_number_of_positives_compiles_nothing_new():
    """The number of positives is no shape of the graph; nothing positive is 0 with a graph."""
    compiled = torch.compile(
        lambda s, t: sum(rank_sort_loss(s * 2, t)), fullgraph=True, backend="aot_eager"
    )
    with torch._dynamo.config.patch(error_on_recompile=True):
        for positives in (40, 1, 0, 300):
            logits, targets, _ = trained_like(positives, 400 - positives)
            inputs = [logits.clone().requires_grad_() for _ in range(2)]
            values = compiled(inputs[0], targets), sum(rank_sort_loss(inputs[1] * 2, targets))
            for value in values:
                value.backward()
            assert torch.equal(*values) and torch.equal(inputs[0].grad, inputs[1].grad)


def test_inductor():
    """The default compiler. In its own process: in torch 2.4 it turns off subnormal numbers."""
    torch.multiprocessing.spawn(with_a_layer_before_and_a_weighting_after)


def with_a_layer_before_and_a_weighting_after(_):
    torch.manual_seed(0)
    head, features = torch.nn.Linear(8, 1), torch.randn(900, 8)
    targets = (torch.rand(900) < 0.05).float() * torch.rand(900)

    def model(features):
        ranking, sorting = rank_sort_loss(head(features).flatten(), targets)
        return 0.2 * (ranking + sorting)

    expected = model(features)
    gradient = torch.autograd.grad(expected, head.weight)[0]
    found = torch.compile(model, fullgraph=True)(features)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, head.weight)[0], gradient)


def test_mistakes_are_found_when_the_graph_runs():
    compiled = torch.compile(lambda s, t: ap_loss(s * 2, t), fullgraph=True, backend="aot_eager")
    logits, targets, _ = trained_like(5, 50)
    logits.requires_grad_()
    with pytest.raises(ValueError, match=r"expected targets -1 \(ignored\)"):
        compiled(logits, targets + 3)


POINTS = [float(each) for row in ROWS for each in row]
OPERATORS = {
    "ap": (AP, (), (1.0,)),
    "alrp": (ALRP, ("errors",), (1.0, 1e-5)),
    "rank_sort": (RANK_SORT, (), (0.5, 1e-10)),
    "bucketed": (bucketed._OPERATOR, (), (0.5, 1e-10, True)),
    "bucketed_ap": (bucketed._OPERATOR, (), (1.0, 1e-10, False)),
    "parameterized": (
        parameterized_ap._OPERATOR,
        ("qualities",),
        (POINTS, [len(row) for row in ROWS], 100, "searched"),
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name, dtype):
    """torch's own check: schema, fake kernel, autograd, compiled with changing shapes."""
    operator, more, settings = OPERATORS[name]
    logits, targets, errors = trained_like(12, 200, dtype=dtype)
    given = [logits.requires_grad_(), targets]
    if "errors" in more:
        given.append(errors)
    if "qualities" in more:
        given.insert(1, qualities_of(logits.detach(), targets, errors).requires_grad_())
    for function in (operator.forward, operator.backward):
        inputs = [*given, *settings]
        if function is operator.backward:
            inputs = [each.detach() if isinstance(each, torch.Tensor) else each for each in inputs]
            inputs.append([torch.ones_like(each) for each in operator(*inputs)])
        torch.library.opcheck(function, tuple(inputs))


def test_outside_of_a_compiler_the_operator_is_not_used(monkeypatch):
    """It would cost time; the eager path does not load a compiler either."""
    monkeypatch.setattr(AP, "forward", None)
    logits, targets, _ = trained_like(5, 50)
    assert ap_loss(logits.requires_grad_(), targets) > 0
    assert issubclass(_ranking.ErrorDriven, torch.autograd.Function)
    code = (
        "import sys, torch; from rankdet.losses import ap_loss;"
        "ap_loss(torch.zeros(3, requires_grad=True), torch.tensor([0, 1, 0])).backward();"
        "print('torch._dynamo' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
