"""Who calls: tokens of pods, examined by the API server."""
