"""Models that answer questions about a picture in words.

Inside: `answerer` is what each of them offers, `chat` asks any server that speaks OpenAI's chat
interface, `folder` a model of this process, which `loaded` brings into memory and `stepwise` runs a
token at a time; `allocator` chooses how many image tokens a question deserves, `picture` cuts what
is shown, `about` is what a folder says of its training. It may import `core`, and what loads and
decodes checkpoints. The next one is a module that offers what `answerer.Answerer` asks for.
"""
