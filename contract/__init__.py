"""The rooms of the contract between a task and the rest of the project; `tasks.contract` is its door."""
