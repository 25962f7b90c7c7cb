"""What the scripts' commands do."""
