"""The shortcut audit: does anything but speech tell fakes from bona fide files?"""
