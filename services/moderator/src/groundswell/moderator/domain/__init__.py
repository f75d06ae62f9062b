"""What is forbidden, and how much of a text may be released: pure functions over text."""
