"""The people's view: verbs (control/verbs), the `rdg` command over them, sources of data, pictures, the demo."""
