"""The code that answers in a registered model. `serving.package` puts a copy of this folder beside every model, under a
name that has the digest of its files, so that each version keeps its own and a process can hold several.

It imports nothing of this project, and itself only relatively. The container takes a file of it, and the forms of
pictures read files with it.
"""
