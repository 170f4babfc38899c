"""LVISEval: the arrays, numbers and lines of lvis-api, and oLRP besides."""

import copy
import json

import numpy as np
import pytest

from rankdet.errors import InputError
from rankdet.evaluation import LVISEval, evaluate
from tests.unit.evaluation.populations import population

pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"]
NAMES += ["AR@300", "ARs@300", "ARm@300", "ARl@300"]


@pytest.fixture(params=range(4))
def case(request):
    return population(np.random.default_rng(request.param), images=12, lvis=True)


def test_the_numbers_are_those_of_the_evaluation(case, capsys, tmp_path):
    truth, rows = case
    judge = LVISEval(truth, rows, "bbox")
    judge.run()
    numbers = evaluate(truth, rows, protocol="lvis").numbers
    assert list(judge.get_results()) == NAMES
    for name, value in judge.results.items():
        own = numbers["AR300" if name == "AR@300" else name.removesuffix("@300")]
        assert value == (-1 if own is None else own)
    assert judge.olrp == {name: v for name, v in numbers.items() if name.startswith("oLRP")}
    precision, recall = judge.eval["precision"], judge.eval["recall"]
    assert precision.shape == (10, 101, 5, 4) and recall.shape == (10, 5, 4)
    assert judge.eval["counts"] == [10, 101, 5, 4]
    assert np.mean(precision[..., 0][precision[..., 0] > -1]) == judge.results["AP"]
    assert np.mean(recall[..., 0][recall[..., 0] > -1]) == judge.results["AR@300"]
    judge.print_results()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 13 + 7
    assert lines[1] == (
        " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=300 catIds=all] = "
        f"{judge.results['AP50']:0.3f}"
    )
    assert "area=     s" in lines[3] and "catIds=  r" in lines[6] and "(oLRP)" in lines[13]
    for name, content in {"t": truth, "r": rows}.items():
        (tmp_path / name).write_text(json.dumps(content))
    again = LVISEval(str(tmp_path / "t"), str(tmp_path / "r"), "bbox")
    again.run()
    assert again.results == judge.results


def test_the_numbers_are_those_of_lvis_api(case, monkeypatch):
    lvis = pytest.importorskip("lvis")
    monkeypatch.setattr(np, "float", float, raising=False)  # lvis-api needs an older numpy
    truth, rows = case
    known = lvis.LVIS.__new__(lvis.LVIS)
    known.dataset, known.logger = copy.deepcopy(truth), lvis.lvis.logging.getLogger("lvis")
    known._create_index()
    results = lvis.LVISResults(known, copy.deepcopy(rows))
    own = LVISEval(known, results, "bbox")
    own.run()
    judge = lvis.LVISEval(known, results, "bbox")
    judge.run()
    assert dict(judge.results) == own.results
    np.testing.assert_array_equal(judge.eval["precision"], own.eval["precision"])
    np.testing.assert_array_equal(judge.eval["recall"], own.eval["recall"])


def test_what_is_not_supported_is_refused(case):
    with pytest.raises(InputError, match="iou_type"):
        LVISEval(*case, "keypoints")
    for name, value in {"img_ids": [1], "iou_thrs": np.array([0.5]), "max_dets": 100}.items():
        judge = LVISEval(*case, "bbox")
        setattr(judge.params, name, value)
        with pytest.raises(InputError, match=rf"params\.{name}"):
            judge.evaluate()
    for step in ("accumulate", "summarize"):
        with pytest.raises(InputError, match="call"):
            getattr(LVISEval(*case, "bbox"), step)()
    assert LVISEval(*case, "bbox").get_results() == {}
    plain = {key: value for key, value in case[0].items() if key != "images"}
    images = [{k: v for k, v in row.items() if "categ" not in k} for row in case[0]["images"]]
    with pytest.raises(InputError, match="neg_category_ids"):
        LVISEval({**plain, "images": images}, case[1], "bbox")
