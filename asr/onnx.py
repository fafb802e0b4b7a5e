"""A model as a graph of ONNX, of 32 or of 8 bits, and the engine that runs it: ONNX Runtime.

Shapes: B utterances, T feature frames, F mel bins, T' output frames, D inputs of a layer, H units in each direction,
V tokens.
"""

import copy
import importlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import torch
from torch import Tensor, nn

from asr import __version__
from asr.checkpoint import Checkpoint
from asr.config import build
from asr.ensemble import members
from asr.errors import AsrError, ModelError
from asr.files import digest
from asr.model import ModelConfig
from asr.model_folder import WEIGHTS, read_config
from asr.progress import say
from asr.recurrent import Bidirectional, never_forgetting

FILE, INT8_FILE = "model.onnx", "model.int8.onnx"
"""What the graphs are called in a model folder."""

INPUTS, OUTPUTS = ("features", "lengths"), ("log_probabilities", "frames")
OPSET = 17

GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
"""Where ONNX's gates stand among PyTorch's: input, output, forget, cell; update, reset, hidden."""

PEEPHOLES = (0, 2, 1)
"""The same of the peepholes: input, output, forget."""


class OnnxModel:
    """Runs a graph, and is called like the `CTCModel` that it was made from."""

    def __init__(self, session: Any, config: ModelConfig) -> None:
        self.session = session
        self.config = config

    @classmethod
    def load(cls, folder: Path, int8: bool | None = None, threads: int | None = None, device: str = "cpu") -> Self:
        """The graph in a model folder, ready to run.

        Args:
            int8: Which of the two; None: the one of 8 bits where it is there, unless on CUDA, which has no such LSTM.
            threads: For one call; None: as many as PyTorch would take.
            device: `cuda` asks for it; any other is the CPU.

        Raises:
            AsrError: The extra `onnx` is not installed.
            ModelError: There is no such graph, it is damaged, or it was made from other weights; says what to do.
        """
        runtime = require("onnxruntime")
        config = build(ModelConfig, read_config(folder, Checkpoint.kind)["model"], f"{folder / 'config.json'}: model")
        cuda = device == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers()
        if device == "cuda" and not cuda:
            say("warning: this ONNX Runtime has no CUDA and computes on the CPU; onnxruntime-gpu has it")
        small = (folder / INT8_FILE).is_file() and not cuda if int8 is None else int8
        path = folder / (INT8_FILE if small else FILE)
        command = f"asr export {folder} --onnx{' --int8' if small else ''}"
        if not path.is_file():
            raise ModelError(f"{path}: not there; run '{command}' first")
        model = cls(open_session(path, threads, cuda), config)
        if model.session.get_modelmeta().custom_metadata_map.get("weights") != digest(folder / WEIGHTS):
            raise ModelError(f"{path}: made from other weights; run '{command}' again")
        return model

    def __call__(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `CTCModel.forward`, without gradients; tensors come back on the device of the features."""
        arrays = (features.detach().float().cpu().numpy(), lengths.long().cpu().numpy())
        outputs = self.session.run(OUTPUTS, dict(zip(INPUTS, arrays, strict=True)))
        log_probabilities, frames = (torch.from_numpy(output).to(features.device) for output in outputs)
        return log_probabilities, frames

    def eval(self) -> Self:
        """Itself: it never learns."""
        return self

    def to(self, device: torch.device) -> Self:
        """Itself: where it runs was settled when it was loaded."""
        return self


def open_session(path: Path, threads: int | None = None, cuda: bool = False) -> Any:
    """A session of ONNX Runtime's with the graph in a file.

    Raises:
        AsrError: The extra `onnx` is not installed.
        ModelError: The file is cut off, or no graph.
    """
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # fatal; what else goes wrong is raised
    options.intra_op_num_threads = threads or torch.get_num_threads()
    # threads that spin while they wait take cores from other programs, and are slower where such are at work
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # on CPUs without VNNI, products of 8 bits are to be exact: whatever they were, weights are signed by then
    options.add_session_config_entry("session.x64quantprecision", "1")
    # beyond this level lies a layout of images that costs more to enter and leave than it saves in two convolutions
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    providers = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
    try:
        return runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors have no other base in common
        raise ModelError(f"{path}: cut off or not ONNX ({str(error).splitlines()[0]})") from error


def to_onnx(checkpoint: Checkpoint) -> bytes:
    """The model as a graph: `features` (B, T, F), `lengths` (B,) to `log_probabilities` (B, T', V), `frames` (B,).

    Raises:
        AsrError: The extra `onnx` is not installed.
    """
    require("onnx")
    model = copy.deepcopy(checkpoint.model).cpu().eval()
    for member in members(model):
        layers = (_Layer(each) if isinstance(each, Bidirectional) else each for each in member.layers)
        member.layers = nn.ModuleList(layers)
    example = torch.zeros(2, 9, checkpoint.features.config.mel_bins), torch.tensor([9, 5])
    axes = {name: {0: "B"} for name in (*INPUTS, *OUTPUTS)}
    axes[INPUTS[0]][1], axes[OUTPUTS[0]][1] = "T", "T'"
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / FILE
        torch.onnx.export(
            model,
            example,
            path,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,  # only the older exporter asks a function for its node
        )
        return path.read_bytes()


def to_int8(graph: bytes) -> bytes:
    """A graph with the weights of its LSTMs in 8 bits, each row with a scale of its own; the rest stays as it was.

    The LSTMs are nearly all of the weights and most of the work; of a Transformer, the products with weights are. What
    the convolutions put out has outliers: 8 bits for the projection behind them made the log-probabilities four times
    as wrong as all the LSTMs together, to save less than a tenth of the time. The weights are unsigned: on CPUs without
    VNNI, products with signed ones overflow (`open_session` sees to that too). What goes into a layer gets 8 bits as it
    comes, with one scale for the whole batch: an utterance's log-probabilities depend a little on the others of its
    batch.

    Raises:
        ModelError: It is a graph of cells that ONNX Runtime does not have in 8 bits.

    Source: ONNX Runtime, "Quantize ONNX models": dynamic quantization; "When and why do I need to try U8U8?".
    """
    onnx = require("onnx")
    quantization = require("onnxruntime.quantization")
    model = onnx.load_from_string(graph)
    layers = [node for node in model.graph.node if "/layers" in node.name]
    if other := [node.op_type for node in layers if node.op_type in ("GRU", "RNN")]:
        raise ModelError(f"{INT8_FILE}: ONNX Runtime has no {other[0]} of 8 bits, only LSTMs; leave out --int8")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / INT8_FILE
        quantization.quantize_dynamic(
            model,
            path,
            nodes_to_quantize=[node.name for node in layers if node.op_type in ("LSTM", "MatMul")],
            per_channel=True,
            weight_type=quantization.QuantType.QUInt8,
        )
        return path.read_bytes()


def marked(graph: bytes, folder: Path, int8: bool) -> bytes:
    """A graph that tells which weights, those in a model folder, it was made from, how, and by which version."""
    onnx = require("onnx")
    model = onnx.load_from_string(graph)
    marks: Mapping[str, str] = {
        "asr_version": __version__,
        "weights": digest(folder / WEIGHTS),
        "int8": str(int8).lower(),
    }
    onnx.helper.set_model_props(model, marks)
    content: bytes = model.SerializeToString()
    return content


def require(name: str) -> ModuleType:
    """A module of the extra `onnx`.

    Raises:
        AsrError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise AsrError(f"{name} is not installed: pip install 'asr[onnx]'") from error


class _Layer(nn.Module):
    """A bidirectional layer that is exported as one node of ONNX, which takes the lengths as they are."""

    def __init__(self, layer: Bidirectional) -> None:
        super().__init__()
        self.family = layer.family
        sides = [never_forgetting(side) if layer.cell == "lstm_1997" else side for side in layer.sides()]
        inputs, recurrent, *biases = (
            torch.stack([_reordered(weight, GATES[layer.family]) for weight in weights]).detach()
            for weights in list(zip(*sides, strict=True))[:4]
        )
        self.register_buffer("inputs", inputs)  # (2, rows, D)
        self.register_buffer("recurrent", recurrent)  # (2, rows, H)
        self.register_buffer("biases", torch.cat(biases, dim=1))  # (2, 2 rows)
        peepholes = [_reordered(weight, PEEPHOLES).flatten() for side in sides for weight in side[4:]]
        self.register_buffer("peepholes", torch.stack(peepholes).detach() if peepholes else None)  # (2, 3H)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """As `Bidirectional.forward`, but only for the exporter: the numbers mean nothing."""
        weights = (self.inputs, self.recurrent, self.biases, self.peepholes)
        outputs: Tensor = _Node.apply(self.family.upper(), inputs, lengths, *weights)  # type: ignore[no-untyped-call]
        return outputs


class _Node(torch.autograd.Function):
    """The operators LSTM, GRU and RNN of ONNX.

    Source: https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html, onnx__RNN.html
    """

    @staticmethod
    def forward(context: Any, operator: str, inputs: Tensor, lengths: Tensor, *weights: Tensor) -> Tensor:
        """Zeros of the right shape, (B, T, 2H): the exporter looks no further."""
        return inputs.new_zeros(*inputs.shape[:2], 2 * weights[1].shape[2])

    @staticmethod
    def symbolic(graph: Any, operator: str, inputs: Any, lengths: Any, *tensors: Any) -> Any:
        *weights, peepholes = tensors
        frames = graph.op("Transpose", inputs, perm_i=[1, 0, 2])  # (T, B, D)
        lengths = graph.op("Cast", lengths, to_i=torch.onnx.TensorProtoDataType.INT32)
        settings = {"hidden_size_i": weights[1].type().sizes()[2], "direction_s": "bidirectional"}
        if operator == "GRU":
            settings["linear_before_reset_i"] = 1  # PyTorch's form
        operands = [frames, *weights, lengths]
        if peepholes is not None:
            unset = graph.op("prim::Constant")  # the state before the first frame: zeros
            unset.setType(torch._C.OptionalType.ofTensor())
            operands += [unset, unset, peepholes]
        outputs = graph.op(operator, *operands, outputs=1, **settings)  # (T, 2, B, H)
        shape = graph.op("Constant", value_t=torch.tensor([0, 0, -1]))  # 0: as it is, -1: the rest
        return graph.op("Reshape", graph.op("Transpose", outputs, perm_i=[2, 0, 1, 3]), shape)


def _reordered(weights: Tensor, order: Sequence[int]) -> Tensor:
    """From PyTorch's order of the gates to that of ONNX."""
    parts = weights.chunk(len(order))
    return torch.cat([parts[number] for number in order])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to themselves what exporters warn about: that they are old, that graphs could be preprocessed."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
