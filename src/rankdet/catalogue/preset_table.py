"""Presets: the sizes in which an entry is run, each with what its figures are worth.

A preset transforms the entry's one config (`rankdet.training.presets` does it). `paper` and
`published` change nothing but where the data lie, `rehearsal` nothing but sizes in pixels and the
number of epochs. The others change what their fields say; the loss, its hyper-parameters, assigner,
coder and head stay the entry's own. What a site may change, it changes in configs/pipeline.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

# Images of the prepared set digits-tiny; those of digits are a setting of the workflow.
TINY_DIGITS = MappingProxyType({"train_images": 8, "val_images": 4})


@dataclass(frozen=True)
class Preset:
    """What a preset changes, what its jobs need and how its figures are to be read.

    Attributes:
        name: paper, published, rehearsal, mini, overfit, demo or smoke.
        purpose: one line for lists and help texts.
        dataset: the kind of data it is meant for: "coco" (any COCO folder), "digits" or "drawn".
        iterations: optimizer steps; None keeps the entry's epochs.
        batch_size: images per step; None keeps the entry's.
        side: training and test images are resized to this square, in pixels; None keeps the
            entry's pipelines.
        small_network: replace backbone and widths by small ones.
        learning_rate: AdamW with warm-up and cosine decay in place of the entry's schedule.
        score_threshold: lowest score of a detection; None keeps the entry's. Ranking losses order
            scores, they do not calibrate them: after a short training from scratch most correct
            detections still score below the published thresholds (0.05, 0.40), which are part of
            preset paper.
        candidates: boxes per level of a dense head that NMS compares, at most; None keeps the
            entry's. With a low score threshold NMS would take most of the time on a CPU.
        test_batch_size: images that are tested together; None keeps the entry's.
        channels_last: backbone and neck keep their channels innermost, which is faster on a CPU.
        workers: data-loading processes; None keeps the entry's.
        validations: how often a short training is measured, for its curves.
        pool_images: images that a ranking loss ranks together; None takes the batch.
        trains: False where published weights stand in for a training.
        start_weights: "official" starts from the fetched weights of the official run, "drawn" from
            random ones in a file of the same layout, "" from scratch with nothing frozen.
        shrink: sizes of the entry's own resizing steps are divided by this; None keeps them.
        epochs: in place of the entry's; its schedule stays and is cut off.
        caption: one or two sentences above every table, figure and page.
        not_comparable: why its figures may not stand beside published ones; "" if they may.
        data: name of the prepared data set in the workflow.
        own_data: by the entry's data set, the prepared one that takes the place of ``data``.
        threads: processor threads of one job.
        gpu: GPUs of one job.
        entries: the entries that it runs; without any, all that have a config.
        more_entries: entries that only its long target runs as well.
        seeds: of the trainings, in place of those of all presets.
        row_seeds: by entry, in place of ``seeds``.
    """

    name: str
    purpose: str
    dataset: str
    iterations: int | None = None
    batch_size: int | None = None
    side: int | None = None
    small_network: bool = False
    learning_rate: float | None = None
    score_threshold: float | None = None
    candidates: int | None = None
    test_batch_size: int | None = None
    channels_last: bool = False
    workers: int | None = None
    validations: int = 0
    pool_images: int | None = None
    trains: bool = True
    start_weights: str = ""
    shrink: int | None = None
    epochs: int | None = None
    caption: str = ""
    not_comparable: str = ""
    data: str = ""
    own_data: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    gpu: int = 0
    entries: tuple[str, ...] = ()
    more_entries: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    row_seeds: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def is_comparable(self) -> bool:
        """Whether a difference to the published figures means anything."""
        return not self.not_comparable

    def data_of(self, dataset: str) -> str:
        """Return the prepared data set of an entry on ``dataset`` (coco, lvis, cityscapes)."""
        return self.own_data.get(dataset, self.data)


_PAPER = Preset(
    "paper",
    "the official run; the only one whose figures stand beside published ones",
    "coco",
    start_weights="official",
    caption="Preset paper: the official run; a row on other data than the paper's says so.",
    data="coco",
    own_data={"lvis": "lvis", "cityscapes": "cityscapes"},
    threads=8,
    gpu=1,
)
_MINI = Preset(
    "mini",
    "real images, the entry's own network, short schedule, small images",
    "coco",
    iterations=60,
    batch_size=4,
    side=320,
    workers=1,
    validations=1,
    learning_rate=2e-4,
    score_threshold=1e-3,
    caption="Preset mini: real images in COCO layout, few of them, and a short schedule; "
    "not the paper's run.",
    not_comparable="short run",
    data="mini",
    threads=2,
    entries=(  # what the papers compare, each beside its stock control
        "control_atss_r50",
        "rs_atss_r50",
        "pap_focal_l1_retinanet_r50",
        "alrp_mmdet_ap_retinanet_r50_500",
        "alrp_mmdet_alrp_retinanet_r50_500",
        "pap_pap_retinanet_r50",
        "control_frcnn_r50",
        "alrp_mmdet_alrp_frcnn_r50_500",
        "rs_frcnn_r50",
        "control_mask_r50",
        "rs_mask_r50",
    ),
)
PRESETS = {
    preset.name: preset
    for preset in (
        _PAPER,
        replace(
            _PAPER,
            name="published",
            purpose="the official trained model, run and evaluated here",
            trains=False,
            caption="Preset published: the official trained models, run and evaluated here; "
            "nothing was trained, and a row on other data than the paper's says so.",
        ),
        Preset(
            "rehearsal",
            "the official run cut off after two epochs of small drawn images: does it run?",
            "drawn",
            start_weights="drawn",
            shrink=16,
            epochs=2,
            caption="Preset rehearsal: the official runs cut off after two epochs of a few small "
            "drawn images; it shows that a paper training starts and ends, its figures mean "
            "nothing.",
            not_comparable="drawn images",
            data="drawn-coco",
            own_data={"lvis": "drawn-lvis", "cityscapes": "drawn-cityscapes"},
        ),
        _MINI,
        replace(
            _MINI,
            name="overfit",
            purpose="mini, measured on the images it is trained on",
            caption="Preset overfit: trained on the very images that it is measured on, which "
            "shows whether a network can fit them and nothing else.",
            not_comparable="measured on its training images",
            data="mini-overfit",  # trained and measured on the val images of mini
        ),
        Preset(
            "demo",
            "built-in digits set, small network, minutes on a CPU",
            "digits",
            iterations=300,
            batch_size=16,
            side=128,
            workers=0,
            validations=4,
            small_network=True,
            learning_rate=4e-3,
            score_threshold=1e-3,
            candidates=100,
            test_batch_size=10,
            channels_last=True,
            caption="Preset demo: the built-in digits set and small networks, trained from scratch "
            "for a few minutes; not the paper's data.",
            not_comparable="digits set",
            data="digits",
            own_data={"lvis": "digits-lvis"},
            entries=(
                "rs_atss_r50",
                "alrp_mmdet_ap_retinanet_r50_500",
                "alrp_mmdet_alrp_retinanet_r50_500",
                "alrp_mmdet_alrp_atss_r50_500",
                "alrp_mmdet_ce_l1_frcnn_r50_500",
                "rs_frcnn_r50",
            ),
            more_entries=(  # a row of every further kind that was seen to learn
                "alrp_mmdet_alrp_fovea_r50_500",
                "alrp_mmdet_alrp_frcnn_r50_500",
                "ext_ap_r50_500",  # the AP-Loss code base: AP 0.379, oLRP 0.727 (seed 0)
                "ext_alrp_ap_r50_500",  # AP 0.280, oLRP 0.797
                "rs_paa_r50",
                "rs_cascade_r50",
                "rs_yolact_r50",
                "rs_solov2_r34_light",
                "rs_frcnn_plus_r50",
                "rs_mask_r50",
                "rs_mask_r50_lvis",
            ),
        ),
        Preset(
            "smoke",
            "the entry's own network at full width, two steps on tiny images",
            "digits",
            iterations=2,
            batch_size=2,
            pool_images=1,  # several pools a batch, so that processes can share it
            side=64,
            workers=0,
            learning_rate=1e-4,
            score_threshold=1e-3,
            caption="Preset smoke: the entry's own network, tiny images, two iterations; it shows "
            "that every step runs, its figures mean nothing.",
            not_comparable="two iterations",
            data="digits-tiny",
        ),
    )
}
