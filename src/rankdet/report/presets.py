"""What a preset's figures are worth: stands above every table, figure and page."""

from __future__ import annotations

from dataclasses import dataclass

from rankdet.errors import InputError, nearest


@dataclass(frozen=True)
class PresetNote:
    """What a reader must know before comparing a figure of this preset.

    Attributes:
        name: the preset.
        caption: one or two sentences.
        reason: why it is not comparable to a published figure; '' if it is.
    """

    name: str
    caption: str
    reason: str = ""

    @property
    def is_comparable(self) -> bool:
        """Whether a difference to the published figures means anything."""
        return not self.reason


NOTES = {
    note.name: note
    for note in (
        PresetNote(
            "paper",
            "Preset paper: the official run; a row on other data than the paper's says so.",
        ),
        PresetNote(
            "published",
            "Preset published: the official trained models, run and evaluated here; nothing was "
            "trained, and a row on other data than the paper's says so.",
        ),
        PresetNote(
            "rehearsal",
            "Preset rehearsal: the official runs cut off after two epochs of a few small drawn "
            "images; it shows that a paper training starts and ends, its figures mean nothing.",
            "drawn images",
        ),
        PresetNote(
            "mini",
            "Preset mini: real images in COCO layout, few of them, and a short schedule; "
            "not the paper's run.",
            "short run",
        ),
        PresetNote(
            "overfit",
            "Preset overfit: trained on the very images that it is measured on, which shows "
            "whether a network can fit them and nothing else.",
            "measured on its training images",
        ),
        PresetNote(
            "demo",
            "Preset demo: the built-in digits set and small networks, trained from scratch for "
            "a few minutes; not the paper's data.",
            "digits set",
        ),
        PresetNote(
            "smoke",
            "Preset smoke: the entry's own network, tiny images, two iterations; it shows that "
            "every step runs, its figures mean nothing.",
            "two iterations",
        ),
    )
}


def preset_note(preset: str) -> PresetNote:
    """Return the note of ``preset``; an unknown one is an `InputError` with the nearest names."""
    if preset not in NOTES:
        raise InputError("a preset", repr(preset), nearest(preset, NOTES))
    return NOTES[preset]
