"""Writes a new use case from a data set (`perennial new`): profile the data, decide on a design, render the files.

`profiling` reads the data once or twice in bounded memory, `deciding` turns the profile and the command line's options
into a `Design`, `rendering` and `writing` make files of it. What is unclear is asked, never guessed; what was assumed
is shown with its reason, on the screen and in the files.
"""
