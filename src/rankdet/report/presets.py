"""The former home of `rankdet.catalogue.presets`, for scripts of users."""

from rankdet.catalogue.presets import PRESETS as NOTES
from rankdet.catalogue.presets import get_preset as preset_note

__all__ = ["NOTES", "preset_note"]
