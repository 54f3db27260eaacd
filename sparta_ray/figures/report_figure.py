"""A figure with its heading and caption."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportFigure:
    """A figure and the texts that a page shows with it.

    Attributes:
        section: A task, or the heading of a section of its own, shown before the tasks.
        title: Short heading.
        caption: What it shows and how it was made.
        figure: The figure.
        alt: A description for readers who cannot see it.
        raster: True for maps, which are embedded as WebP; other figures are embedded as SVG.
    """

    section: str
    title: str
    caption: str
    figure: Figure
    alt: str
    raster: bool = False
