"""Training steps of rows and their standard counterparts, at the published scale and batch.

Images and objects are drawn, the network starts from random weights: the work of a step does not
depend on what the pixels show, and the ranking losses have their most relevant negatives then.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from benchmarks.drawn_images import sample
from benchmarks.gpu.machine import take_turns
from rankdet.catalogue.presets import get_preset
from rankdet.training.resolve import resolve
from rankdet.training.runner import Speed, apply_speed

# Row, its control, (height, width) of the padded images, images of one official GPU.
PAIRS = (
    ("rs_atss_r50", "control_atss_r50", (800, 1344), 4),
    ("alrp_mmdet_alrp_retinanet_r50_500", "control_retinanet_r50", (512, 832), 8),
    ("rs_frcnn_r50", "control_frcnn_r50", (800, 1344), 4),
    ("rs_mask_r50", "control_mask_r50", (800, 1344), 4),
)
GOAL = 1.05  # row / control
SPEEDS = {
    "float32": Speed(),
    "bf16": Speed(bf16=True),
    "bf16, channels last": Speed(bf16=True, channels_last=True),
    "channels last": Speed(channels_last=True),
    "compiled": Speed(compiled=True),
}


class Step:
    """A model, its optimizer and one batch; calling it trains a step.

    Args:
        entry: of the catalogue.
        size: height and width of the images.
        images: of the batch.
        device: where.
        quick: the small network of preset demo in place of the entry's own.
        speed: options of the training.
    """

    def __init__(
        self,
        entry: str,
        size: tuple[int, int],
        images: int,
        device: torch.device,
        quick: bool,
        speed: Speed = SPEEDS["float32"],
    ) -> None:
        config = resolve(entry, get_preset("demo" if quick else "paper"), None)
        config.model.backbone.init_cfg = None  # weights do not change the time of a step
        torch.manual_seed(0)
        model = MODELS.build(ConfigDict(config.model))
        model.init_weights()
        self.model = model.to(device).train()
        apply_speed(self.model, speed)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=1e-5, momentum=0.9)
        generator = torch.Generator().manual_seed(0)
        self.pixels = torch.randn(images, 3, *size, generator=generator).to(device)
        masks = self.model.with_mask
        self.samples = [sample(size, masks, generator).to(device) for _ in range(images)]

    def __call__(self) -> dict[str, torch.Tensor]:
        """Train one step; return the loss terms."""
        self.optimizer.zero_grad(set_to_none=True)
        total, terms = self.model.parse_losses(self.model.loss(self.pixels, self.samples))
        total.backward()
        self.optimizer.step()
        return terms


def pairs(device: torch.device, quick: bool) -> Iterator[dict]:
    """Time each row and its control; they alternate."""
    rounds, warm = (2, 1) if quick else (20, 5)
    for entry, control, size, images in PAIRS:
        if quick:
            size, images = (128, 128), 2
        runs = {name: Step(name, size, images, device, quick) for name in (entry, control)}
        found = take_turns(runs, device, rounds, warm)
        yield {
            **{"row": entry, "control": control, "size": f"{size[0]} x {size[1]}"},
            **{"images": images, "row ms": found[entry], "control ms": found[control]},
            "row / control": found[entry] / found[control],
            "goal": GOAL,
        }


def speeds(device: torch.device, quick: bool) -> Iterator[dict]:
    """Time RS-ATSS with each option; report the difference of its first loss from float32."""
    entry, _, size, images = PAIRS[0]
    rounds, warm = (2, 1) if quick else (20, 5)
    if quick:
        size, images = (256, 256), 2
    plain = None
    for name, speed in SPEEDS.items():
        if quick and speed.compiled:
            continue  # compiling takes minutes; only the GPU time matters
        step = Step(entry, size, images, device, quick, speed)
        loss = float(step()["loss"].detach())
        plain = loss if plain is None else plain
        taken = take_turns({name: step}, device, rounds, warm)[name]
        yield {
            "row": entry,
            "option": name,
            "ms": taken,
            "first loss off by": abs(loss / plain - 1),
        }
        del step
        if device.type == "cuda":
            torch.cuda.empty_cache()
