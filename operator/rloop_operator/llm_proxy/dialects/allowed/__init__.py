"""What a request to a model may contain: a table of fields per dialect, and the code that copies by such a table."""
