"""What a request to a model may hold: a table of fields for each dialect, and the code that copies by such a table."""
