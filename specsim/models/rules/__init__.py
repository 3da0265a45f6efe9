"""The rules for language models: ``verify(drafts, target, coins)`` in a file of the rule's name each."""
