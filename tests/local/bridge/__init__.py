"""What ministack lacks of AWS, put right from outside.

ministack is imported, then wrapped: each module here replaces a few of its functions by ones
that behave as AWS does. Nothing in ministack's own files is changed, so an upgrade is one line in
`requirements.txt`; `test_bridge.py` says which corrections are then no longer needed.
"""
