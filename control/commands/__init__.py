"""The nouns of the command line, one file each: arguments in, verbs called, results printed."""
