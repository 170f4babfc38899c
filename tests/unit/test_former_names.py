"""Names that scripts of users import, from before the rooms were renamed: the same objects."""

import pytest

from rankdet.catalogue.presets import PRESETS
from rankdet.errors import InputError
from rankdet.training.run import train


def test_modules_and_functions_of_before_are_those_of_now():
    import rankdet.data.coco
    import rankdet.data.sums
    from rankdet.data.digits import prepare_digits
    from rankdet.data.manifest import Manifest, load_manifest

    from rankdet.catalogue import presets
    from rankdet.datasets import coco, digits, manifest
    from rankdet.files import write_text
    from rankdet.outputs import write_text as present
    from rankdet.report.presets import NOTES, preset_note
    from rankdet.training.presets import Preset, get_preset

    assert rankdet.data.coco is coco and prepare_digits is digits.prepare_digits
    assert (Manifest, load_manifest) == (manifest.Manifest, manifest.load_manifest)
    assert (Preset, get_preset, preset_note) == (presets.Preset, *(presets.get_preset,) * 2)
    assert NOTES is presets.PRESETS and write_text is present


def test_options_of_a_training_are_taken_by_name(tmp_path):
    """A preset that does not train ends the call right after its options were taken."""
    place = (PRESETS["published"], None, tmp_path, tmp_path / "c.pth")
    with pytest.raises(InputError, match="a preset that trains"):
        train("rs_atss_r50", *place, seed=3, resume=True, threads=1, workers=0)
    with pytest.raises(TypeError, match="sed"):
        train("rs_atss_r50", *place, sed=3)
