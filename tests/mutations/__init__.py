"""Every rule that keeps rows exactly once, taken out in turn: the named test must fail. ``make mutate`` runs them."""
