"""What a GPU would refuse, looked for without one: host tensors among the device's."""

import sys

import pytest
import torch
from benchmarks.training_step import batch, model_of

import rankdet.losses  # noqa: F401 -- its modules are looked up below
from tests.host_tensors import HostTensors

# A head, an assignment or a loss of each kind.
ENTRIES = [
    "rs_atss_r50",
    "rs_paa_r50",
    "alrp_mmdet_ap_retinanet_r50_500",
    "alrp_mmdet_alrp_fovea_r50_500",
    "alrp_mmdet_alrp_atss_r50_500",
    "pap_pap_retinanet_r50",
    "ext_alrp_ap_r50_500",
    "rs_yolact_r50",
    "rs_solov2_r34_light",
    "alrp_mmdet_alrp_frcnn_r50_500",
    "rs_cascade_r50",
    "rs_frcnn_plus_r50",
    "rs_mask_r50",
    # 1203 classes: half a minute.
    pytest.param("rs_mask_r50_lvis", marks=pytest.mark.heavy),
]


@pytest.fixture
def on_accelerator(monkeypatch):
    """The losses' path of an accelerator; the CPU's makes tensors where it stands."""
    for name, module in list(sys.modules.items()):
        if name.startswith("rankdet.") and hasattr(module, "is_accelerator"):
            monkeypatch.setattr(module, "is_accelerator", lambda tensor: True)


@pytest.mark.parametrize("entry", ENTRIES)
def test_nothing_of_the_host_meets_the_device(entry, on_accelerator):
    model = model_of(entry, 2)
    pixels, samples = batch(slice(0, 4), model.with_mask)
    with HostTensors() as watch:
        total, _ = model.parse_losses(model(pixels, samples, mode="loss"))
        total.backward()
    model.eval()
    for sample in samples:
        sample.set_metainfo(dict(scale_factor=(1.0, 1.0)))
    with torch.no_grad(), watch:
        model(pixels, samples, mode="predict")
    assert watch.met == []


def test_the_watch_sees_what_a_gpu_refuses():
    of_device = torch.zeros(3, device="cpu")
    with HostTensors() as watch:
        of_device + torch.arange(3)
        of_device * (2 * torch.ones(3)).sqrt()
        torch.cat((of_device, torch.zeros(1)))
    assert [each.split(" @ ")[0] for each in watch.met] == ["add", "mul", "cat"]
    assert all("test_host_tensors.py" in each for each in watch.met)


def test_the_watch_leaves_alone_what_a_gpu_takes():
    of_device = torch.zeros(3, device="cpu")
    with HostTensors() as watch:
        of_device + torch.tensor(2.0)
        of_device[torch.arange(2)]
        of_device + torch.ones(3).to(of_device.device) + torch.arange(3).to(of_device)
        of_device + of_device.new_ones(3) + torch.arange(3, device=of_device.device)
        torch.arange(3) + torch.ones(3)
    assert watch.met == []
