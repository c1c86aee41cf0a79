"""Several processes on PyTorch: a Keras model is a module, so that DistributedDataParallel and FSDP take it.

torchrun --nproc-per-node 2 processes_torch.py [--engine fsdp]
"""

import itertools
import os

import torch
import torch.distributed

if "WORLD_SIZE" not in os.environ:  # one process
    os.environ.update(RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
if not torch.distributed.is_initialized():  # Ray Train does it
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
index, count = torch.distributed.get_rank(), torch.distributed.get_world_size()
if torch.cuda.is_available():
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))

from processes_task import RATE, make_batches, make_model, options, report  # noqa: E402

from bert4keras3.backend import keras  # noqa: E402
from bert4keras3.processes import Backup, fully_shard  # noqa: E402

train, model = make_batches(index, count), make_model()
if options.engine == "fsdp":
    engine = fully_shard(model)
else:
    engine = torch.nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.Adam([one for one in engine.parameters() if one.requires_grad], RATE, eps=1e-7)
backup = Backup(options.backup, model, optimizer, every=options.every, process=index)
step = backup.restore()

for inputs, labels in itertools.islice(train.forfit(initial_step=step), options.epochs * len(train) - step):
    outputs = engine([torch.as_tensor(one) for one in inputs], training=True)
    loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, outputs))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    backup.after_step()
    mean = loss.detach()
    torch.distributed.all_reduce(mean)
    if index == 0:
        report(backup.step, float(mean) / count)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
