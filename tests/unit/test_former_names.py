"""Names that scripts of users import, from before the rooms were renamed: the same objects."""


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
