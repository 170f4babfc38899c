"""``rankdet evaluate`` and ``submission``: metrics of a detections file; the test server's zip."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from rankdet.cli.app import app
from rankdet.cli.sources import AnnotationsPath, DatasetPath, ProtocolName, ground_truth
from rankdet.errors import InputError
from rankdet.outputs import check_outputs, write_json

IOU_TYPES = ("bbox", "segm")


@app.command("evaluate")
def evaluate_command(
    detections: Annotated[
        list[Path],
        typer.Option(
            "--detections",
            help="COCO results JSON. Repeat it to pair files with --iou-type in order; one file "
            "is used for all types.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="metrics.json to write.")],
    annotations: AnnotationsPath = None,
    dataset: DatasetPath = None,
    iou_type: Annotated[
        list[str], typer.Option("--iou-type", help="bbox or segm; repeat the option for both.")
    ] = ["bbox"],  # noqa: B006 - typer copies it
    protocol: ProtocolName = None,
    area: Annotated[
        str,
        typer.Option(
            "--area",
            help="Which area of a detection determines small, medium, large: box, mask, or auto "
            "(the rule of the COCO toolkit: box if the results contain boxes).",
        ),
    ] = "auto",
    curves: Annotated[
        Path | None,
        typer.Option(
            "--curves",
            help="Also write precision-recall and LRP curves, and how scores correlate with IoU.",
        ),
    ] = None,
    class_curves: Annotated[
        Path | None,
        typer.Option(
            "--per-class-curves",
            help="Also write precision, LRP and optimal threshold of each class to this file.",
        ),
    ] = None,
    fixed_ap: Annotated[
        bool,
        typer.Option(
            "--fixed-ap",
            help="Also Fixed AP and Pooled AP: the best 10,000 detections of each class.",
        ),
    ] = False,
    tide: Annotated[
        bool, typer.Option("--tide", help="Also what each kind of error costs in AP50 (TIDE).")
    ] = False,
    slice_by: Annotated[
        str | None,
        typer.Option(
            "--slice-by", help="Also the metrics by this field of the images in the annotations."
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Also run pycocotools, and fail on any difference (slow)."),
    ] = False,
) -> None:
    """Evaluate detections: AP, AR and oLRP from one matching pass.

    Example: rankdet evaluate --annotations instances_val2017.json --detections bbox.json
    --iou-type bbox --detections segm.json --iou-type segm --out metrics.json
    """
    from rankdet.evaluation import evaluate, read_detections, read_ground_truth
    from rankdet.evaluation.judge import check as check_with_pycocotools
    from rankdet.evaluation.metrics import per_class_curves
    from rankdet.evaluation.slices import image_values

    pairs = _pairs(iou_type, detections)
    annotations, chosen = ground_truth(annotations, dataset, protocol)
    outputs = {"--out": out, "--curves": curves, "--per-class-curves": class_curves}
    check_outputs(outputs, inputs=[annotations, dataset, *detections])
    if check and (chosen not in (None, "coco") or area != "auto"):
        raise InputError(
            "--check with --protocol coco --area auto",
            f"{chosen or 'coco'}, {area}",
            "drop --check: pycocotools supports only these",
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        truth = read_ground_truth(annotations, [kind for kind, _ in pairs], chosen)
        values = None if slice_by is None else image_values(annotations, slice_by)
        results, more = {}, _More(fixed_ap, tide, values)
        for kind, path in pairs:
            found = read_detections(path, truth)
            results[kind] = evaluate(truth, found, kind, area=cast(Any, area))
            if check:
                check_with_pycocotools(results[kind], annotations, path, kind)
            more.add(truth, found, kind, area)
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        typer.echo(f"rankdet: warning: {message}", err=True)
    document: dict[str, Any] = {kind: metrics.numbers for kind, metrics in results.items()}
    document["per_class"] = {kind: metrics.per_class for kind, metrics in results.items()}
    write_json(out, document | more.document)
    if class_curves is not None:
        write_json(class_curves, {kind: per_class_curves(each) for kind, each in results.items()})
    if curves is not None:
        write_json(curves, {kind: _figures(metrics) for kind, metrics in results.items()}, None)
    for kind, metrics in results.items():
        typer.echo(f"{kind}: {_line(metrics.numbers)}{' = pycocotools' if check else ''}")
    for line in more.lines:
        typer.echo(line)


class _More:
    """What is computed only when it is asked for.

    Args:
        fixed_ap: compute Fixed AP and Pooled AP.
        tide: classify the errors.
        values: of each image, by id, to slice by; None without.
    """

    def __init__(self, fixed_ap: bool, tide: bool, values: dict[int, Any] | None) -> None:
        self._fixed_ap, self._tide, self._values = fixed_ap, tide, values
        self.document: dict[str, Any] = {}
        self.lines: list[str] = []

    def add(self, truth: Any, found: Any, kind: Any, area: Any) -> None:
        """Compute it for one IoU type."""
        from rankdet.evaluation.large_vocabulary import fixed_ap
        from rankdet.evaluation.slices import evaluate_slices
        from rankdet.evaluation.tide import KINDS, tide

        if self._fixed_ap:
            numbers = fixed_ap(truth, found, kind)
            self.document.setdefault("fixed_ap", {})[kind] = numbers
            self.lines.append(f"{kind}: {_words(numbers)}")
        if self._tide:
            errors = tide(truth, found, kind)
            self.document.setdefault("tide", {})[kind] = {
                "AP50": errors.ap50,
                "dAP50": errors.gains,
                "counts": errors.counts,
                "per_class": errors.per_class,
            }
            gains = {f"d{name}": errors.gains[name] for name in (*KINDS, "FP", "FN")}
            self.lines.append(f"{kind}: AP50 gained by fixing each error: {_words(gains)}")
        if self._values is not None:
            slices = evaluate_slices(truth, found, self._values, kind, area=area)
            self.document.setdefault("slices", {})[kind] = {
                _label(value, slices): {"images": each.arguments["images"], **each.numbers}
                for value, each in slices.items()
            }
            self.lines += [
                f"{kind}: {value} ({each.arguments['images']} images): "
                f"{_words({name: each.numbers[name] for name in ('AP', 'AP50', 'oLRP')})}"
                for value, each in slices.items()
            ]


def _label(value: Any, every: Collection[Any]) -> str:
    """Return a value as a key of JSON: texts as they are, unless another value reads the same."""
    text = json.dumps(value)
    if not isinstance(value, str):
        return text
    return text if any(json.dumps(each) == value for each in every) else value


def _words(numbers: Mapping[str, float | None]) -> str:
    return "  ".join(
        f"{name} {'-' if value is None else format(value, '.4f')}"
        for name, value in numbers.items()
    )


def _pairs(kinds: list[str], paths: list[Path]) -> list[tuple[Any, Path]]:
    unknown = [kind for kind in kinds if kind not in IOU_TYPES]
    if unknown:
        raise InputError("--iou-type bbox or segm", unknown[0], "choose one of them")
    if len(set(kinds)) != len(kinds):
        raise InputError("each --iou-type once", ", ".join(kinds), "remove the duplicate")
    if len(paths) == 1:
        paths = paths * len(kinds)
    if len(paths) != len(kinds):
        raise InputError(
            "one --detections for all types, or one for each --iou-type",
            f"{len(paths)} --detections for {', '.join(kinds)}",
            "repeat both options in the same order",
        )
    return list(zip(kinds, paths, strict=True))


def _figures(metrics: Any) -> dict[str, Any]:
    names = ("category_id", "name", "annotations", "frequency", "AP", "AP50", "AP75")
    return {
        **metrics.curves,
        "per_class": [
            {
                key: value
                for key, value in row.items()
                if key in names or key.split("_")[0] == "oLRP"
            }
            for row in metrics.per_class
        ],
    }


def _line(numbers: dict[str, float | None]) -> str:
    names = ("AP", "AP50", "AP75", "APs", "APm", "APl", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")
    return _words({name: numbers[name] for name in names})


@app.command("submission")
def submission_command(
    detections: Annotated[Path, typer.Option("--detections", help="COCO results JSON.")],
    name: Annotated[str, typer.Option("--name", help="Name of the algorithm on the server.")],
    out_dir: Annotated[
        Path, typer.Option("--out-dir", help="Folder for the JSON file and the zip file.")
    ],
    image_info: Annotated[
        Path | None,
        typer.Option("--image-info", help="image_info_test-dev2017.json, to check image ids."),
    ] = None,
    testset: Annotated[
        str, typer.Option("--testset", help="Name of the test set on the server.")
    ] = "test-dev2017",
) -> None:
    """Validate detections and pack detections_test-dev2017_<name>_results.zip for the server."""
    from rankdet.evaluation.submission import pack, stem
    from rankdet.outputs import check_outputs

    base = stem(name, testset)
    written = {f"{suffix} in --out-dir": out_dir / f"{base}.{suffix}" for suffix in ("json", "zip")}
    check_outputs(written, {"--out-dir": out_dir}, inputs=[detections, image_info])

    _, zip_path, notes = pack(detections, name, out_dir, image_info, testset)
    for note in notes:
        typer.echo(f"rankdet: note: {note}", err=True)
    typer.echo(zip_path)
