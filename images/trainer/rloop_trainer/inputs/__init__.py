"""What a user wrote: the recipe and its data, with every problem at once."""
