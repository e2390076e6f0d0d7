"""What the window shows of each part of the review: an evented model a part, made of frozen values.

Setting an attribute of a model to a new value emits ``model.events.<attribute>``; nothing is ever
changed in place. Only the parts set attributes, and only on the main thread; panels watch. The
models know the project's values and nothing of the parts. The model of a further part is a module
here, with what becomes of it when the project is left.
"""
