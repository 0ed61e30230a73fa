"""Fine-tuning of language models with low-rank adapters: resumable, seeded, in one process or several."""

from testbed.tuning.options import LowRankTrainer, Task, Taught

__all__ = ["LowRankTrainer", "Task", "Taught"]
