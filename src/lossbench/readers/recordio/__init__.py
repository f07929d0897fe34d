"""InsightFace training sets: train.rec, train.idx and property, read without mxnet.

``framing`` finds records, ``payload`` reads what is in one, ``index`` the files beside, ``record_file`` puts
them together, ``identities`` checks the identity records against the labels, ``writer`` makes such sets.
"""

from lossbench.readers.recordio.index import Property
from lossbench.readers.recordio.record_file import RecordFile
from lossbench.readers.recordio.writer import write_records

__all__ = ["Property", "RecordFile", "write_records"]
