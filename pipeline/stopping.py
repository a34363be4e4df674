"""The time and the CPU seconds that a session has had."""

import time

_LEAST = 1.0  # seconds that a session has for its work, whatever loading took


class Clock:
    """Counts from ``start`` on, and tells when a limit is passed."""

    def __init__(self, seconds: float = 0.0, cpu: float = 0.0) -> None:
        """Take limits in seconds and CPU seconds of all processes, 0 for none."""
        self._limits = (seconds, cpu)
        self.cut_short = False
        self.start()

    def start(self, spent: float = 0.0) -> None:
        """Begin to count.

        Args:
            spent: seconds that have gone already; of a limit in seconds one is left in any case.
        """
        limit = self._limits[0]
        spent = max(min(spent, limit - _LEAST), 0.0) if limit else spent
        self._began, self._cpu_began = time.monotonic() - spent, time.process_time()
        self._elsewhere, self.cut_short = 0.0, False

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._began

    def cpu(self) -> float:
        """Return the CPU seconds of this process and of what others have reported."""
        return time.process_time() - self._cpu_began + self._elsewhere

    def add(self, cpu: float) -> None:
        """Count CPU seconds that another process has spent."""
        self._elsewhere += cpu

    def left(self) -> float:
        """Return the seconds until the limit, infinity without one."""
        return self._limits[0] - self.seconds() if self._limits[0] else float("inf")

    def over(self) -> bool:
        """Tell whether a limit is passed; who asks stops then, which is remembered."""
        seconds, cpu = self._limits
        passed = (bool(seconds) and self.seconds() > seconds) or (bool(cpu) and self.cpu() > cpu)
        self.cut_short = self.cut_short or passed
        return passed
