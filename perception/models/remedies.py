"""What an environment lacks when a library cannot be loaded, told by the library's own words."""

# Part of the message -> what helps. First match counts.
REMEDIES = (
    ("libGL.so", "on Debian or Ubuntu: apt-get install libgl1 libglib2.0-0"),
    ("libgthread", "on Debian or Ubuntu: apt-get install libglib2.0-0"),
    ("libusb", "on Debian or Ubuntu: apt-get install libusb-1.0-0"),
    ("libEGL", "on Debian or Ubuntu: apt-get install libegl1"),
    (
        "numpy.dtype size changed",
        "numpy and a package built for another: reinstall both from wheels",
    ),
    ("_ARRAY_API", "numpy and a package built for another: reinstall both from wheels"),
    ("compiled using NumPy 1", "numpy and a package built for another: reinstall both from wheels"),
    ("NVIDIA driver on your system is too old", "update the driver, or use --device cpu"),
    ("Found no NVIDIA driver", "install the driver, or use --device cpu"),
    ("not compiled with CUDA", "install a CUDA build of torch, or use --device cpu"),
    ("CUDA", "`nvidia-smi` lists the GPUs that work; --device cpu needs none"),
    ("Invalid device", "`nvidia-smi` lists the GPUs that work; --device cpu needs none"),
    ("static TLS", "set LD_PRELOAD to the library that is named, or import torch before open3d"),
)


def remedy(message: str) -> str:
    """Return what helps against a fault of the environment; "" for a fault that is none."""
    return next((fix for part, fix in REMEDIES if part in message), "")


def in_one_line(error: BaseException) -> str:
    """Return the cause of an error, with what helps where that is known."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = lines[0] if lines else type(error).__name__
    fix = remedy(str(error))
    return f"{cause}; {fix}" if fix else f"{cause}; `perception doctor` looks at the machine"
