"""What every part of helpers/ may use: whole-file writing, typed configurations."""
