"""Readers of the files that face benchmarks come in, without mxnet, MATLAB or the MegaFace devkit.

| format | reader | writer |
|---|---|---|
| InsightFace training sets: train.rec, train.idx, property | ``RecordFile`` | ``write_records`` |
| InsightFace pairs: lfw.bin, cfp_fp.bin, agedb_30.bin and others | ``read_pairs_bin`` | ``write_pairs_bin`` |
| MegaFace features, one file each | ``read_feature``, ``read_features`` | ``write_feature`` |
| MegaFace lists of probes and distractors (.json) | ``read_feature_list`` | ``write_feature_list`` |
| MegaFace lists of noise | ``read_noise``, ``is_noise`` | |
| IJB-B, IJB-C: *_face_tid_mid.txt | ``read_template_media`` | |
| IJB-B, IJB-C: *_template_pair_label.txt | ``read_template_pairs`` | |
| IJB-B, IJB-C: *_name_5pts_score.txt | ``read_landmarks`` | |
| IJB-B, IJB-C: *_1N_gallery_*.csv, *_1N_probe_*.csv | ``read_template_subjects`` | |
| LFW: pairs.txt, pairsDevTrain.txt, pairsDevTest.txt | ``read_pairs`` | |
| LFW: lfw-names.txt, lists of image files | ``read_people``, ``read_image_list`` | |
| files in folders, tars and zips | ``archives.list_files``, ``archives.read_files`` | |
| LFW BLUFR: blufr_lfw_config.mat | ``read_blufr`` | ``write_blufr`` |
| CIFAR for Python: data_batch_1, train, meta | ``read_cifar_batch``, ``read_cifar_names`` | |
| MNIST and relatives: *-ubyte, *-ubyte.gz | ``read_idx`` | |

All of them bound what a file can cost, run nothing that a file names, and refuse what they do not understand
in one line: ValueError with the file and the byte or line. ``sha256_of`` tells which file a result rests on.
"""

from lossbench.readers.blufr import Blufr, BlufrTrial, read_blufr, write_blufr
from lossbench.readers.cifar import read_cifar_batch, read_cifar_names
from lossbench.readers.idx import read_idx
from lossbench.readers.ijb import (
    Landmarks,
    TemplateMedia,
    TemplatePairs,
    TemplateSubjects,
    read_landmarks,
    read_template_media,
    read_template_pairs,
    read_template_subjects,
)
from lossbench.readers.images import decode_rgb
from lossbench.readers.lfw import (
    NamedPairs,
    file_stem,
    image_name,
    image_positions,
    read_image_list,
    read_pairs,
    read_people,
)
from lossbench.readers.list_files import sha256_of
from lossbench.readers.megaface import (
    FeatureList,
    is_noise,
    read_feature,
    read_feature_list,
    read_features,
    read_noise,
    write_feature,
    write_feature_list,
)
from lossbench.readers.pairs_bin import ImagePairs, read_pairs_bin, write_pairs_bin
from lossbench.readers.recordio import RecordFile, write_records

__all__ = [
    "Blufr",
    "BlufrTrial",
    "FeatureList",
    "ImagePairs",
    "Landmarks",
    "NamedPairs",
    "RecordFile",
    "TemplateMedia",
    "TemplatePairs",
    "TemplateSubjects",
    "decode_rgb",
    "file_stem",
    "image_name",
    "image_positions",
    "is_noise",
    "read_blufr",
    "read_cifar_batch",
    "read_cifar_names",
    "read_feature",
    "read_feature_list",
    "read_features",
    "read_idx",
    "read_image_list",
    "read_landmarks",
    "read_noise",
    "read_pairs",
    "read_pairs_bin",
    "read_people",
    "read_template_media",
    "read_template_pairs",
    "read_template_subjects",
    "sha256_of",
    "write_blufr",
    "write_feature",
    "write_feature_list",
    "write_pairs_bin",
    "write_records",
]
