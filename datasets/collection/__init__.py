"""What a collection of audio and labels looks like: what is missing, damaged, double or leaking."""
