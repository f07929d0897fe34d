import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lossbench.functional import verification
from lossbench.metrics import CMC, VerificationROC
from tests.metrics.test_metrics import faces, fed

SHARDS = (0, 43, 60)


def _worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    embedding, label = faces()
    shard = slice(*SHARDS[rank : rank + 2])
    roc, cmc = VerificationROC(fars=(0.1, 0.01)), CMC(ranks=9)
    for metric in (roc, cmc):
        fed(metric, embedding[shard], label[shard], 10)
    result = {"roc": roc.compute(), "cmc": cmc.compute(), "genuine": roc.curve().genuine}
    # The same rows, screened as large sets are.
    verification._EXACT_ROWS = -1
    screened = fed(VerificationROC(fars=(0.1, 0.01)), embedding[shard], label[shard], 10)
    result["screened"] = screened.compute()
    result["kept"] = sum(len(rows) for rows in roc.embedding)
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_worker, args=(folder,), nprocs=2)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_two_processes_with_uneven_shards_give_the_numbers_of_one(results):
    embedding, label = faces()
    roc = fed(VerificationROC(fars=(0.1, 0.01)), embedding, label, 60)
    cmc = fed(CMC(ranks=9), embedding, label, 60)
    for result in results:
        assert result["roc"] == roc.compute()
        assert torch.equal(result["cmc"], cmc.compute())
        for name in ("eer", "tar_far_1e_1", "tar_far_1e_2"):
            assert result["screened"][name] == roc.compute()[name]
        assert result["screened"]["auc"] == pytest.approx(float(roc.compute()["auc"]), abs=0.005)
        assert result["genuine"] == roc.curve().genuine


def test_each_process_keeps_only_its_own_rows_afterwards(results):
    assert [result["kept"] for result in results] == [43, 17]
