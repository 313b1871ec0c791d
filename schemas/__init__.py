"""Every type that crosses a border: the wire, the store, a process's settings.

Rules of the package: frozen pydantic models, tolerant of unknown fields on the wire (an old worker reads a new
producer), a limit on every size. Only pydantic, numpy and the standard library are imported here.
"""
