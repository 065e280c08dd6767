"""An index beside a table: which of its files may hold an id."""
