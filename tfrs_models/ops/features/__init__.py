"""Reading and checking the features of a batch."""
