"""What holds for all tests: no property has a deadline, because a shared machine takes its time now and then."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
