"""Where a run's seconds go, while somebody measures.

A span is charged for its own seconds alone; what an inner one takes is that one's. So all spans, with
what none of them covers, add up to the whole. Where nobody measures, a span costs a look at a context
variable.
"""

from tasks.spans.imports import measuring
from tasks.spans.ledger import ITSELF, OTHER, Ledger, Spent, span, step

__all__ = ["ITSELF", "OTHER", "Ledger", "Spent", "measuring", "span", "step"]
