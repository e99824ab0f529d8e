"""Milliseconds a photo of ONNX Runtime on the processor, one thread: the twin of `examples/cpu_speed.rs`.

    python onnxruntime_speed.py NETWORK.onnx      (made by export_onnx.py)
"""

import sys
import time

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
shape = session.get_inputs()[0].shape
images = numpy.random.default_rng(1).standard_normal(shape, dtype=numpy.float32)
times = []
for _ in range(21):
    start = time.perf_counter()
    session.run(None, {"images": images})
    times.append(1e3 * (time.perf_counter() - start))
times.sort()
print(f"ONNX Runtime {onnxruntime.__version__}, {shape[3]} pixels: median {times[10]:.1f} ms, fastest {times[0]:.1f} ms")
