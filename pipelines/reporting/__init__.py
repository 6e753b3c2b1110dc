"""Pages that show what a pipeline found."""
