"""The time and the CPU seconds that a session has had, compiling left out."""

import time


class Clock:
    """Counts from ``start`` on, and tells when a limit is passed."""

    def __init__(self, seconds: float = 0.0, cpu: float = 0.0) -> None:
        """Take limits in seconds and CPU seconds of all processes, 0 for none."""
        self._limits = (seconds, cpu)
        self.cut_short = False
        self.start()

    def start(self) -> None:
        """Begin to count."""
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._elsewhere = 0.0

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._began

    def cpu(self) -> float:
        """Return the CPU seconds of this process and of what others have reported."""
        return time.process_time() - self._cpu_began + self._elsewhere

    def add(self, cpu: float) -> None:
        """Count CPU seconds that another process has spent."""
        self._elsewhere += cpu

    def over(self) -> bool:
        """Tell whether a limit is passed; who asks stops then, which is remembered."""
        seconds, cpu = self._limits
        passed = (bool(seconds) and self.seconds() > seconds) or (bool(cpu) and self.cpu() > cpu)
        self.cut_short = self.cut_short or passed
        return passed
