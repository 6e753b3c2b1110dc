"""Parts of several commands: flags, files, data, towers, checkpoints."""
