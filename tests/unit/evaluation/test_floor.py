"""The evaluator stands on numpy and pycocotools.mask alone."""

import subprocess
import sys


def test_no_torch_no_mmdet_no_evaluator_of_others():
    code = (
        "import sys, rankdet.evaluation, rankdet.evaluation.submission, rankdet.evaluation.judge\n"
        "import rankdet.evaluation.calibrators, rankdet.evaluation.common_images\n"
        "heavy = {'torch', 'mmdet', 'mmcv', 'mmengine', 'pandas', 'scipy', 'sklearn'}\n"
        "heavy |= {'faster_coco_eval', 'matplotlib', 'lvis', 'tidecv'}\n"
        "print(sorted((heavy | {'pycocotools.cocoeval'}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
