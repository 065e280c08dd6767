"""Single rows of a data file: their pages are read and decoded, not the row groups around them."""
