"""What people can do, as typed functions on a store and a bus: nothing here prints, asks or knows a terminal.

The command line, and any other surface, is these functions and no more. All may be repeated after a failure.
"""
