"""The drills, a file each: what is done, and what is promised all the same."""
