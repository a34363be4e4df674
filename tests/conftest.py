"""What every test shares: hypothesis without deadlines, since a first call compiles."""

from hypothesis import settings

settings.register_profile("pipeline", deadline=None)
settings.load_profile("pipeline")
