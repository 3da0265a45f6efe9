from specsim.paper_figures.comparison import Row as Row
from specsim.paper_figures.drawing import (
    Drawn as Drawn,
    draw as draw,
    write_summary as write_summary,
)
from specsim.paper_figures.efforts import FigureEffort as FigureEffort
from specsim.paper_figures.registry import names as names

__all__: list[str]
