"""The trainer: GRPO configured by a recipe, used as the command of a task."""
