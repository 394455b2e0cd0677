"""ONNX Runtime as all servers of the comparison use it: one thread, no spinning."""

from pathlib import Path

import onnxruntime as ort


def open_session(package: str) -> ort.InferenceSession:
    """Opens a package's graph."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(Path(package) / "model.onnx"), options, providers=["CPUExecutionProvider"])
