"""Models that answer questions about a picture in words.

Inside: `answerer` is what each of them offers, `chat` asks any server that speaks OpenAI's chat
interface, `picture` cuts what is sent. It may import `core`. The next one is a module that offers
what `answerer.Answerer` asks for.
"""
