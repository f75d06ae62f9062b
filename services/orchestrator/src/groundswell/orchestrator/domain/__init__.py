"""The pure part: what a request is, what comes next, prompts, windows and citations."""
