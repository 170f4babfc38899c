"""The weight of aLRP's localization part: period, start, what counts, saved and restored."""

import copy

import pytest
import torch
import torch.distributed as dist

from rankdet.errors import InputError
from rankdet.losses import SelfBalance, scale_to_value


def values(classification, localization):
    return torch.tensor(classification), torch.tensor(localization)


def test_the_weight_is_renewed_before_it_is_used():
    balance = SelfBalance(period=3, initial=50.0)
    assert balance.update(*values(0.8, 0.4)) == 50
    assert balance.update(*values(0.6, 0.2)) == 50
    # The third step completes the period: (mean 0.7 + mean 0.3) / mean 0.3.
    assert balance.update(*values(0.7, 0.3)).item() == pytest.approx(1 / 0.3)
    assert balance.steps == 0
    assert balance.update(*values(0.1, 0.9)).item() == pytest.approx(1 / 0.3)


def test_a_fresh_one_has_the_settings_and_no_history():
    balance = SelfBalance(period=2, initial=7.0, reduce=True)
    for _ in range(3):
        balance.update(*values(0.5, 0.5))
    fresh = balance.fresh()
    assert (fresh.period, fresh.reduce, fresh.weight.item(), fresh.steps.item()) == (2, True, 7, 0)
    assert balance.weight == 2


def test_steps_without_positives_do_not_count():
    balance = SelfBalance(period=2)
    balance.update(*values(0.5, 0.5))
    assert balance.update(*values(0.0, 0.0)) == 50
    assert balance.steps == 1
    assert balance.update(*values(0.5, 0.5)) == 2


def test_a_perfect_step_counts_if_the_caller_says_so():
    balance = SelfBalance(period=2)
    balance.update(*values(0.0, 0.0), has_positives=True)
    assert balance.steps == 1
    balance.update(*values(0.5, 0.5), has_positives=torch.tensor(False))
    assert balance.steps == 1


def test_perfect_boxes_leave_the_weight():
    assert SelfBalance(period=1).update(*values(0.3, 0.0)) == 50


def test_it_is_saved_and_restored():
    balance = SelfBalance(period=5)
    for step in range(7):
        balance.update(*values(0.1 * step, 0.3))
    other = SelfBalance(period=5)
    other.load_state_dict(balance.state_dict())
    for step in range(5):
        assert balance.update(*values(0.2, 0.1 * step)) == other.update(*values(0.2, 0.1 * step))


def test_the_weight_carries_no_graph():
    localization = torch.tensor(0.4, requires_grad=True)
    weight = SelfBalance(period=1).update(torch.tensor(0.6, requires_grad=True), localization)
    assert not weight.requires_grad
    assert weight.dtype == torch.float32
    (weight * localization).backward()
    assert localization.grad == weight


def test_alone_in_a_group_reduces_to_itself(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        shared, own = SelfBalance(period=2, reduce=True), SelfBalance(period=2)
        for step in (values(0.5, 0.1), values(0.0, 0.0), values(0.3, 0.4)):
            assert shared.update(*step) == own.update(*step)
    finally:
        dist.destroy_process_group()


def _rank(rank, folder, queue):
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    balance = SelfBalance(period=2, reduce=True)
    steps = [[(0.4, 0.2), (0.2, 0.1), (1.0, 1.0)], [(0.8, 0.4), (0.0, 0.0), (1.0, 1.0)]][rank]
    weights = [balance.update(*values(*step)).item() for step in steps]
    queue.put((rank, weights))
    dist.barrier()
    dist.destroy_process_group()


def test_ranks_agree(tmp_path):
    """Step 1 averages both ranks; in step 2 only rank 0 has positives; step 3 is after it."""
    context = torch.multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    processes = [context.Process(target=_rank, args=(rank, tmp_path, queue)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    weights = dict(queue.get() for _ in processes)
    expected = (0.3 + 0.1 + 0.6 + 0.2) / (0.3 + 0.1)
    assert weights[0] == weights[1] == [50, 50, pytest.approx(expected)]


def test_passes_count_as_ranks_do():
    """The same three steps in two passes each: the same weights, and the same state after them."""
    balance = SelfBalance(period=2, passes=2)
    steps = [((0.4, 0.2), (0.8, 0.4)), ((0.2, 0.1), (0.0, 0.0)), ((1.0, 1.0), (1.0, 1.0))]
    weights = [[balance.update(*values(*each)).item() for each in step] for step in steps[:2]]
    saved = {name: value.clone() for name, value in balance.state_dict().items()}
    weights.append([balance.update(*values(*each)).item() for each in steps[2]])
    expected = (0.3 + 0.1 + 0.6 + 0.2) / (0.3 + 0.1)
    assert weights == [[50, 50], [50, 50], [pytest.approx(expected)] * 2]
    # Another division of the step continues from that state.
    other = SelfBalance(period=2)
    other.load_state_dict(saved)
    assert other.update(*values(1.0, 1.0)).item() == pytest.approx(expected)
    for name, value in balance.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("period", [0, -1, 2.5, None])
def test_period(period):
    with pytest.raises(InputError, match="period of >= 1 steps"):
        SelfBalance(period)


def test_scale_to_value():
    loss = torch.tensor(0.25, requires_grad=True)
    scaled = scale_to_value(loss, torch.tensor(0.75))
    assert scaled == 0.75
    scaled.backward()
    assert loss.grad == 3
    assert scale_to_value(torch.tensor(0.0), torch.tensor(0.75)) == 0


def _steps(balance, count=300):
    for _ in range(count):
        weight = balance.update(*values(0.8, 0.6))
    return weight.item()


CASTS = [
    lambda module: module.half(),
    lambda module: module.bfloat16(),
    lambda module: module.to(torch.float16),
    lambda module: module.to("cpu", torch.bfloat16),
    lambda module: module.type(torch.float16),
    lambda module: torch.nn.Sequential(module).half()[0],
    lambda module: module.half().float().double(),
    lambda module: copy.deepcopy(module.half()),
    lambda module: module.to(values(1.0, 1.0)[0].half()),
]


@pytest.mark.parametrize("cast", CASTS)
def test_a_cast_of_the_model_changes_no_digit(cast):
    check_cast(SelfBalance(300), SelfBalance(300), cast)


def check_cast(plain, other, cast):
    """Both take the same steps, one of them is cast between them."""
    _steps(plain, 299), _steps(other, 140)
    other = cast(other)
    _steps(other, 159)
    for name, buffer in plain.state_dict().items():
        assert other.state_dict()[name].dtype == buffer.dtype
        assert torch.equal(other.state_dict()[name], buffer), name
    assert _steps(other, 1) == _steps(plain, 1)


@pytest.mark.parametrize("assign", [False, True])
def test_a_checkpoint_of_a_cast_model_is_loaded(assign):
    state = {
        name: buffer.half() if buffer.is_floating_point() else buffer
        for name, buffer in SelfBalance(300).state_dict().items()
    }
    balance = SelfBalance(300)
    balance.load_state_dict(state, assign=assign)
    assert balance.weight.dtype == balance.localization_sum.dtype == torch.float64
    assert _steps(balance) == pytest.approx(1.4 / 0.6)


def test_saved_whole_and_moved(tmp_path):
    balance = SelfBalance(300)
    _steps(balance, 150)
    torch.save(balance.half(), tmp_path / "module.pt")
    loaded = torch.load(tmp_path / "module.pt", weights_only=False)
    assert _steps(loaded, 150) == pytest.approx(1.4 / 0.6)
    assert balance.to("meta").half().weight.dtype == torch.float64
    assert balance.to_empty(device="cpu").weight.dtype == torch.float64


def test_parts_in_half_precision():
    balance = SelfBalance(300).half()
    for _ in range(300):
        weight = balance.update(*(each.half() for each in values(0.75, 0.5)))
    assert weight.dtype == torch.float16
    assert weight == 2.5
