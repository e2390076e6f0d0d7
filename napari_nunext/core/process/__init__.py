"""What each of our programs needs of the machine: options, rights, caches, addresses.

Nothing here knows what a nucleus is.
"""
