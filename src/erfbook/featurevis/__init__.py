"""Images that make a unit, or all units of a channel, respond: gradient ascent on the pixels."""

from erfbook.featurevis.circular import with_circular_padding
from erfbook.featurevis.colours import COLOUR_FACTOR, measure_colours
from erfbook.featurevis.fourier import FourierAscent
from erfbook.featurevis.notes import notes_on
from erfbook.featurevis.pixels import PixelAscent
from erfbook.featurevis.result import Visualisation
from erfbook.featurevis.run import optimize
from erfbook.featurevis.settings import Settings

__all__ = [
    "COLOUR_FACTOR",
    "FourierAscent",
    "PixelAscent",
    "Settings",
    "Visualisation",
    "measure_colours",
    "notes_on",
    "optimize",
    "with_circular_padding",
]
