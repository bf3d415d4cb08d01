"""A new use case from a file: look at it, decide what it asks for, write what a team would have written.

`looking` reads the data once or twice in bounded memory, `deciding` turns what was found and what was said into a
`Design`, `rendering` and `writing` make files of it. What was not said and is not plain is asked, never guessed; what
was assumed is told, with its reason, on the screen and in the files.
"""
