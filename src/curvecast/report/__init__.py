"""The report of a run: one HTML page made of its tables, figures, captions and benchmark files."""
