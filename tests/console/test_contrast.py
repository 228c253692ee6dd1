"""Can every text be read? Each pair of text and background in the style sheet, in both schemes, by the WCAG formula."""

import re

import pytest

from interlock.console.rendering import STATIC

CSS = (STATIC / "console.css").read_text()
TEXT_MIN, SHAPE_MIN = 4.5, 3.0

STATES = ("pass", "moving", "wait", "person", "stop", "frozen", "idle")
PAIRS = [
    *((text, ground) for text in ("ink", "soft", "link") for ground in ("bg", "surface", "sunk")),
    *((state, f"{state}-bg") for state in STATES),
    *((state, "surface") for state in STATES),
    *(("ink", f"{state}-bg") for state in STATES),
    *(("link", f"{state}-bg") for state in STATES),
    ("on-button", "button"),
    ("danger", "surface"),
    ("bg", "ink"),
]


def schemes():
    light, dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    first = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", light))
    return {"light": first, "dark": first | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", dark))}


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme):
    colours = schemes()[scheme]
    weak = {
        f"{text} on {ground}": round(contrast(colours[text], colours[ground]), 2)
        for text, ground in PAIRS
        if contrast(colours[text], colours[ground]) < TEXT_MIN
    }
    assert not weak


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_focus_and_fields_can_be_seen(scheme):
    colours = schemes()[scheme]
    for ground in ("bg", "surface"):
        assert contrast(colours["focus"], colours[ground]) >= SHAPE_MIN


def test_both_schemes_name_the_same_colours():
    found = schemes()
    assert set(found["light"]) == set(found["dark"])
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
