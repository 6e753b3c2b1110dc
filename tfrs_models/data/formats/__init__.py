"""Known formats of files, recognised by name and by look."""
