"""Asking about what is on the slide: who is asked, what they say, and what people think of it.

Inside: `asker` is the part, with its verbs and rooms; what it shows is `review.shown.ask`. A
`conversation` puts one question at a time, a `round` is its work in the background, `hearing` what
has been heard of an answer, `counting` answers from the nuclei, `telling` is what others are told
of them, `since` what became of those that an answer rests on. `answerers` are those who can be
asked, `book` the answers of the open image, `judging` and `comparing` what people say of them,
`agreeing` what that adds up to, `lists` what the project keeps to choose from. It stands on the
session and on how people look at an image. A further way to judge answers is a room of its own,
made by `asker`.
"""
