"""lossbench: which head and loss should I train with?"""

__version__ = "0.1.0"
