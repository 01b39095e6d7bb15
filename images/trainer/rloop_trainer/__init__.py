"""The trainer: GRPO by a recipe, as a command of a task."""
