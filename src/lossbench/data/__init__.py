"""Behind ``python -m lossbench.data``: which sets there are, what is in one, what is wrong with one."""
