"""The page of the explorer: HTML over the API, for people with a browser. It reads nothing but by the API."""
