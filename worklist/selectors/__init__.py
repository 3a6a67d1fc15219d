"""What is asked about schedule, worklist, exams and images."""

from worklist.selectors.mwl import matching_steps, read_item, worklist_items
from worklist.selectors.preview import PreviewLine, preview

__all__ = ["PreviewLine", "matching_steps", "preview", "read_item", "worklist_items"]
