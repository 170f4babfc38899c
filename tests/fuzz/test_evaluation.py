"""Random annotations, results and masks: an answer, that of pycocotools, or one line."""

import gzip
import json
import warnings

import numpy as np
import pytest
from hypothesis import strategies as st
from pycocotools import mask as mask_tools

from rankdet.evaluation import evaluate
from rankdet.evaluation.judge import pycocotools_numbers
from rankdet.evaluation.masks import checked_masks
from rankdet.files import read_json
from tests.fuzz.bounded import counts, fuzz
from tests.fuzz.mutations import mutated
from tests.unit.evaluation.cases import datasets, tiny, with_masks

pytestmark = pytest.mark.filterwarnings("ignore")


def documents():
    """A small data set of boxes and masks, and its results."""
    truth, rows = tiny(boxes=((10, 10, 40, 40), (60, 60, 9, 30), (1, 1, 5, 5)))
    truth["images"][0].update(
        file_name="1.jpg", neg_category_ids=[2], not_exhaustive_category_ids=[1]
    )
    truth["images"].append({**truth["images"][0], "id": 2, "file_name": "2.jpg"})
    truth["categories"] = [{"id": i, "name": f"c{i}", "frequency": "rcf"[i - 1]} for i in (1, 2, 3)]
    truth["annotations"][1]["segmentation"] = [[60, 60, 69, 60, 69, 90, 60, 90]]
    truth["annotations"][2].update(iscrowd=1, segmentation={"size": [120, 120], "counts": [14400]})
    rows = with_masks([*rows, {**rows[0], "category_id": 2, "score": 0.4}], keep_boxes=True)
    return truth, rows


TRUTH, ROWS = documents()


def evaluated(truth, rows, iou_type, protocol):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate(truth, rows, iou_type, protocol)


def check(truth, rows, iou_type, protocol):
    metrics = evaluated(truth, rows, iou_type, protocol)
    json.dumps(metrics.numbers, allow_nan=False)
    json.dumps(metrics.per_class, allow_nan=False)


def both_occur(tally):
    answered, refused = tally
    print(f"answered {answered}, refused {refused}")
    assert answered > 0.05 * (answered + refused)
    assert refused > 0.05 * (answered + refused)


@counts
@pytest.mark.parametrize("protocol", ["coco", "lvis"])
def test_annotations(count, protocol):
    cases = st.tuples(mutated(st.just(TRUTH)), st.sampled_from(["bbox", "segm"]))
    both_occur(fuzz(count, cases, lambda case: check(case[0], ROWS, case[1], protocol)))


@counts
@pytest.mark.parametrize("protocol", ["coco", "lvis"])
def test_results(count, protocol):
    cases = st.tuples(mutated(st.just(ROWS)), st.sampled_from(["bbox", "segm"]))
    both_occur(fuzz(count, cases, lambda case: check(TRUTH, case[0], case[1], protocol)))


@counts
def test_answers_are_those_of_pycocotools(count):
    """Whatever is answered about data sets with few, plain changes."""
    plain = (0, 1, 2, 0.5, 40, 200)

    def compare(case):
        (truth, rows, iou_type), change = case
        if change and truth["annotations"]:
            place, key, value = change
            row = truth["annotations"][place % len(truth["annotations"])]
            if key == "bbox":
                row["bbox"] = [row["bbox"][0] - value, *row["bbox"][1:]]
            else:
                row[key] = value
        metrics = evaluated(truth, rows, iou_type, "coco")
        numbers, _ = pycocotools_numbers(truth, rows, iou_type)
        # The mean over no class at all is absent in both.
        assert {name: metrics.numbers[name] for name in numbers} == numbers

    change = st.none() | st.tuples(
        st.integers(0, 6), st.sampled_from(["area", "iscrowd", "bbox"]), st.sampled_from(plain)
    )
    both_occur(fuzz(count, st.tuples(datasets(), change), compare))


def rle_texts():
    """Encoded masks of 6 x 7 pixels, with characters changed."""
    seeds = st.integers(0, 2**42 - 1)

    def encode(bits):
        mask = np.array([bits >> i & 1 for i in range(42)], dtype=np.uint8).reshape(7, 6).T
        return mask_tools.encode(mask)["counts"].decode()

    odd = st.text(st.sampled_from("0123?@OPQo~/é中\ud800\0 "), max_size=9)
    texts = st.builds(
        lambda text, cut, more: text[:cut] + more + text[cut + len(more) :],
        seeds.map(encode),
        st.integers(0, 12),
        st.just("") | odd,
    )
    return texts | odd | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))


@counts
def test_encoded_runs(count):
    def decode(text):
        rle = {"size": [6, 7], "counts": text}
        _, (area,) = checked_masks([rle], [(6, 7)], ["mask"])
        assert area == mask_tools.area(rle)
        assert area == mask_tools.decode(rle).sum()

    both_occur(fuzz(count, rle_texts(), decode))


@counts
def test_runs(count):
    whole = st.lists(st.integers(0, 42), max_size=8).map(
        lambda runs: [*runs, 42 - sum(runs)] if sum(runs) <= 42 else runs
    )

    def rasterize(rle):
        (mask,), (area,) = checked_masks([rle], [(0, 0)], ["mask"])
        pixels = mask_tools.decode(mask)
        assert pixels.sum() == area
        assert pixels.shape == tuple(rle["size"])
        if isinstance(rle["counts"], list):
            colors = [index % 2 for index, run in enumerate(rle["counts"]) for _ in range(run)]
            assert pixels.T.ravel().tolist() == colors

    masks = whole.map(lambda runs: {"size": [6, 7], "counts": runs})
    both_occur(fuzz(count, mutated(masks, most=2), rasterize))


@counts
def test_polygons(count):
    near = st.floats(-60, 120) | st.integers(-900, 900)
    polygons = st.lists(
        st.lists(near, min_size=6, max_size=12).map(lambda each: each[: len(each) // 2 * 2]),
        min_size=1,
        max_size=3,
    )

    def rasterize(value):
        (mask,), (area,) = checked_masks([value], [(40, 50)], ["mask"])
        expected = mask_tools.merge(mask_tools.frPyObjects(value, 40, 50))
        assert mask == expected
        assert area == mask_tools.area(expected)

    both_occur(fuzz(count, mutated(polygons, most=2), rasterize))


@st.composite
def damaged_files(draw):
    """The bytes of a file of JSON, cut, changed, packed, in other encodings."""
    text = json.dumps(draw(st.sampled_from([TRUTH, ROWS])), indent=draw(st.sampled_from([None, 1])))
    encoding = draw(st.sampled_from(["utf-8"] * 5 + ["utf-8-sig", "utf-16", "utf-32-le"]))
    content = bytearray(text.encode(encoding))
    pack = draw(st.booleans())
    if pack and draw(st.booleans()):
        content = bytearray(gzip.compress(bytes(content), mtime=0))
        pack = False
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(content)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del content[place:]
        elif kind == 1:
            content[place : place + 1] = draw(st.binary(max_size=3))
        elif kind == 2:
            content[place:place] = draw(
                st.sampled_from(
                    [b"[" * 20_000, b"1" * 5000, b"NaN", b"\xff", b"\0", b"}", b"1e400"]
                )
            )
    return gzip.compress(bytes(content), mtime=0) if pack else bytes(content)


@counts
def test_files(count, tmp_path):
    path = tmp_path / "file.json.gz"

    def read(content):
        path.write_bytes(content)
        read_json(path)

    both_occur(fuzz(count, damaged_files(), read))


@counts
@pytest.mark.parametrize("which", ["annotations", "results"])
def test_files_of_an_evaluation(count, which, tmp_path):
    whole = {"annotations": TRUTH, "results": ROWS}
    for name, content in whole.items():
        (tmp_path / name).write_text(json.dumps(content))

    def call(content):
        (tmp_path / which).write_bytes(content)
        evaluated(tmp_path / "annotations", tmp_path / "results", "bbox", "coco")

    texts = mutated(st.just(whole[which]), odd=[5]).map(_as_text)
    both_occur(fuzz(count, texts | damaged_files(), call))


def _as_text(document):
    try:
        return json.dumps(document).encode()
    except ValueError:  # a whole number of too many digits, which only a text can hold
        return b'[{"id": ' + b"1" * 5000 + b"}]"
