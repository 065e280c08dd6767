"""HTTP servers that slow, endless or too many clients can't hold: what every one of ours stands on."""
