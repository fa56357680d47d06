"""One function per step of the loop, all with the signature ``(Step, Worker) -> result``."""
