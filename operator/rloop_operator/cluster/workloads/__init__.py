"""The port `Runtime` on the API server: manifests of pods, jobs and trainings, and their state."""
