"""Training: the base model, students, and recovery after compression."""
