"""A figure with the words that a page shows it with."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportFigure:
    """A figure and the words around it.

    Attributes:
        section: A task, or the heading of a section of its own, shown before the tasks.
        title: Short heading.
        caption: What to see, how it was made.
        figure: The figure.
        alt: What it shows, for a reader who cannot see it.
        raster: True for maps, which are embedded as PNG; other figures as SVG.
    """

    section: str
    title: str
    caption: str
    figure: Figure
    alt: str
    raster: bool = False
