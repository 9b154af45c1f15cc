"""What a model is asked about, and what it answers: one module a form.

An item's form says how what a person or a program sends becomes an item of the model, an answer's form how the model's
outputs become an answer. All that is particular to a form stands in its module; elsewhere nobody asks which one it is.
"""
