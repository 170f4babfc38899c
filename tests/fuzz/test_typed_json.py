"""Files decoded by msgspec: the numbers, warnings and errors of the reader of parsed rows."""

import gzip
import json
import warnings

import pytest
from hypothesis import strategies as st

from rankdet.errors import InputError
from rankdet.evaluation import evaluate, reading, typed_json
from tests.fuzz.bounded import counts, fuzz
from tests.fuzz.mutations import mutated
from tests.fuzz.test_evaluation import ROWS, TRUTH, damaged_files

BOXES = [{key: row[key] for key in ("image_id", "category_id", "bbox", "score")} for row in ROWS]
MASKS = [{key: row[key] for key in row if key != "bbox"} for row in ROWS]
EXTRA = [{**row, "id": number, "iscrowd": 0, "area": 9.5} for number, row in enumerate(ROWS)]


def outcome(truth, rows, iou_type, protocol):
    """Return everything that a caller sees: the numbers and warnings, or the error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            metrics = evaluate(truth, rows, iou_type, protocol)
            result = metrics.numbers, metrics.per_class, metrics.curves
        except InputError as error:
            result = error.expected, error.got, error.fix
    return result, [str(warning.message) for warning in caught]


@st.composite
def texts(draw, whole):
    """Draw the bytes of a file: indented or not, values changed, cut, packed, of odd numbers."""
    document = draw(mutated(st.just(whole), most=2))
    indent = draw(st.sampled_from([None, None, 1]))
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=draw(st.booleans()))
    except ValueError:  # an integer of too many digits
        text = json.dumps(whole).replace("120", "1" * draw(st.sampled_from([4300, 4301, 9000])), 1)
    for _ in range(draw(st.integers(0, 1))):
        old = draw(st.sampled_from(['"score"', '"id": 1', "0.9", "40", '"area"', "}", "]", ", {"]))
        new = draw(st.sampled_from(["1.0", "-0", "1e2", "1E400", "01", "true", "null", '"é"', ""]))
        text = text.replace(old, new, draw(st.sampled_from([1, -1])))
    content = text.encode("utf-8", "surrogatepass")
    return gzip.compress(content, mtime=0) if draw(st.booleans()) else content


@counts
@pytest.mark.parametrize("protocol", ["coco", "lvis"])
def test_files_are_read_as_parsed_rows_are(count, protocol, tmp_path, monkeypatch):
    paths = tmp_path / "truth.json", tmp_path / "rows.json"
    used = {"tables": 0, "detections": 0}
    readers = {name: getattr(typed_json, name) for name in used}

    def spied(name):
        def call(*arguments):
            found = readers[name](*arguments)
            used[name] += found is not None
            return found

        return call

    def compare(case):
        for path, content in zip(paths, case[:2], strict=True):
            path.write_bytes(content)
        with monkeypatch.context() as patch:
            patch.setattr(reading, "BLOCK_CHARACTERS", case[3])
            for name in used:
                patch.setattr(typed_json, name, spied(name))
            found = outcome(*paths, case[2], protocol)
            for name in used:
                patch.setattr(typed_json, name, lambda *_: None)
            assert found == outcome(*paths, case[2], protocol)

    def either(whole):
        return texts(whole) | st.just(json.dumps(whole).encode()) | damaged_files()

    rows = st.sampled_from([BOXES, MASKS, ROWS, EXTRA]).map(lambda each: each * 3)
    cases = st.tuples(
        either(TRUTH),
        rows.flatmap(either),
        st.sampled_from(["bbox", "segm"]),
        st.sampled_from([100, 1 << 20]),
    )
    fuzz(count, cases, compare)
    assert min(used.values()) > count / 10, used


@pytest.mark.parametrize(
    "rows", [BOXES, MASKS, ROWS, EXTRA], ids=["boxes", "masks", "both", "more"]
)
@pytest.mark.parametrize("indent", [None, 1])
def test_usual_files_are_decoded(rows, indent):
    assert typed_json.detections(json.dumps(rows, indent=indent), None) is not None
    for iou_types in (("bbox",), ("segm",), ("bbox", "segm")):
        for protocol in ("coco", "lvis"):
            text = json.dumps(TRUTH, indent=indent)
            assert typed_json.tables(text, iou_types, protocol) is not None


@counts
def test_numbers_are_those_of_json(count):
    """The nearest float64, whatever the text of the number."""
    digits = st.text("0123456789", min_size=1, max_size=40)
    exponent = st.just("") | st.integers(-330, 330).map(lambda power: f"e{power}")
    text = st.tuples(digits, st.just("") | digits, exponent).map(
        lambda part: (part[0].lstrip("0") or "0") + ("." + part[1] if part[1] else "") + part[2]
    )
    written = st.floats(0, allow_nan=False, allow_infinity=False).map(repr)

    def compare(number):
        row = f'[{{"image_id": 1, "category_id": 1, "bbox": [{number}, 0, 1, 1], "score": 1}}]'
        expected = float(json.loads(number))
        found = typed_json.detections(row, None)
        if found is not None:
            assert found.box[0, 0] == expected
        else:
            assert expected == float("inf")

    fuzz(count, text | written, compare)
