"""What several commands share: flags, files, data, towers, checkpoints."""
