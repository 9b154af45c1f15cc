"""What can be learned: a folder a task, held together by the contract in tasks/contract.py."""
