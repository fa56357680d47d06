"""One function per Firework: its task, name, category, priority and folder."""
