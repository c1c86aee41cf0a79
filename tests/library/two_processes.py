"""For test_layout_maps.py, in two processes of four devices: `python two_processes.py PROCESS PORT MESH CASE …`."""

import sys

import keras

process, port, *sizes = map(int, sys.argv[1:5])
keras.distribution.initialize(f"127.0.0.1:{port}", 2, process)

from parity.adapter import open_library  # noqa: E402
from parity.compare import Cell  # noqa: E402
from parity.mesh import Mesh  # noqa: E402
from parity.models.cases import CASES_BY_NAME  # noqa: E402
from parity.models.compare import judge, read_golden  # noqa: E402
from parity.models.record import record_and_train  # noqa: E402
from parity.store import golden_folder  # noqa: E402

library, red = open_library("bert4keras3", Mesh(tuple(sizes))), []
for name in sys.argv[5:]:
    case = CASES_BY_NAME[name]
    arrays, info = record_and_train(library, "jax-mesh8", case, True)
    if process == 0:
        golden, metadata = read_golden(case, golden_folder(case))
        cell = judge(Cell(case.name, case.system, "jax-mesh8"), golden, metadata, arrays)
        print(
            f"{sizes} {name}: {cell.error_ratio:.2f} {cell.gradient_ratio:.2f} {cell.losses_ratio:.2f}",
            flush=True,
        )
        red += [f"{name}: {cell.red}"] if cell.red else []
    library.K.clear_session()
sys.exit("\n".join(red) or None)
