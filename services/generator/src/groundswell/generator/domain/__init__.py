"""What the generator decides, without I/O: order, pacing, text of tokens, cancellations."""
