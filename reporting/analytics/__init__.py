"""Turnaround, volumes and backlog, counted from the times that the work itself has left."""
