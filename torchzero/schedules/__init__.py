"""The schedules family."""
