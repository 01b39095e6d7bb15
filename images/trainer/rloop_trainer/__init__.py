"""The trainer: what runs beside or around a training to report its progress and claims."""
