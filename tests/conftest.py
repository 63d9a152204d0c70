"""One thread: on shared cores two can be ten times slower than one."""

import torch

torch.set_num_threads(1)
