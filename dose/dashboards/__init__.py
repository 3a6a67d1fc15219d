"""Charts of doses: what is asked, what the database answers, how it is drawn, and the table under each drawing."""

from __future__ import annotations

from dose.dashboards.charts import KINDS, Chart, make_chart
from dose.dashboards.question import Question, ask

__all__ = ["KINDS", "Chart", "Question", "ask", "make_chart"]
