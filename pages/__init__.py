"""The look of what is told on one page: a study, and what was watched."""
