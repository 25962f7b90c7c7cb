"""What every part of datasets/ may use: files, locks, names, progress."""
