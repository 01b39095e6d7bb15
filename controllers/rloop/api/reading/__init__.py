"""Reads what a person or a model wrote (recipes, globs, error texts) and says in sentences what is wrong with it."""
