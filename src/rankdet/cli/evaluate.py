"""``rankdet evaluate`` and ``submission``: metrics of a detections file; the test server's zip."""

from __future__ import annotations

import warnings
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
        typer.Option("--curves", help="Also write precision-recall and LRP curves to this file."),
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
    from rankdet.evaluation import evaluate, read_ground_truth
    from rankdet.evaluation.judge import check as check_with_pycocotools

    pairs = _pairs(iou_type, detections)
    annotations, chosen = ground_truth(annotations, dataset, protocol)
    outputs = {"--out": out, "--curves": curves}
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
        results = {}
        for kind, path in pairs:
            results[kind] = evaluate(truth, path, kind, area=cast(Any, area))
            if check:
                check_with_pycocotools(results[kind], annotations, path, kind)
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        typer.echo(f"rankdet: warning: {message}", err=True)
    document: dict[str, Any] = {kind: metrics.numbers for kind, metrics in results.items()}
    document["per_class"] = {kind: metrics.per_class for kind, metrics in results.items()}
    write_json(out, document)
    if curves is not None:
        write_json(curves, {kind: _figures(metrics) for kind, metrics in results.items()}, None)
    for kind, metrics in results.items():
        typer.echo(f"{kind}: {_line(metrics.numbers)}{' = pycocotools' if check else ''}")


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
    parts = []
    for name in names:
        value = numbers[name]
        parts.append(f"{name} {'-' if value is None else format(value, '.4f')}")
    return "  ".join(parts)


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
