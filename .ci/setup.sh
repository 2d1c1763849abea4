#!/usr/bin/env bash
# Makes .venv with everything in it, from nothing, on Debian or Ubuntu with Python 3.11 or newer.
# Run it as often as you like: it does nothing when .venv fits this file, constraints.txt beside it
# and pyproject.toml. The versions are those of constraints.txt: a release next week breaks nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin" # where Debian hides ldconfig from ordinary users

stamp=.venv/setup.sha256
wanted=$(cat pyproject.toml .ci/setup.sh .ci/constraints.txt | sha256sum | cut -d' ' -f1)
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

# 1. What has to come from the system.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

packages=()
python=$(find_python)
if [ -z "$python" ]; then
  packages+=(python3 python3-venv)
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  packages+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
fi
libraries=$(ldconfig -p)
while read -r library package; do # the first five: open3d; OpenCV too wants libGL, and glib
  grep -qF "$library" <<<"$libraries" || packages+=("$package")
done <<'END'
libusb-1.0.so.0 libusb-1.0-0
libGL.so.1 libgl1
libEGL.so.1 libegl1
libX11.so.6 libx11-6
libidn2.so.0 libidn2-0
libgthread-2.0.so.0 libglib2.0-0
END

if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
    python=$(find_python)
  else
    echo "These system packages are missing. Install them, then run this again:" >&2
    echo "  sudo apt-get install -y ${packages[*]}" >&2
    exit 1
  fi
fi
if [ -z "$python" ]; then
  echo "Python 3.11 or newer is needed; this system's newest is: $(python3 --version 2>&1)" >&2
  echo "Install one (Ubuntu 22.04: apt-get install python3.11 python3.11-venv)." >&2
  exit 1
fi

# 2. The environment. torch and torchvision in one command: apart, they may not fit each other.
case $(uname -m) in
  aarch64 | arm64) torch=(torch==2.9.1 torchvision==0.24.1) ;;
  *) torch=(torch==2.14.1 torchvision==0.29.1) ;;
esac
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  "$python" -m venv --clear .venv
fi
.venv/bin/python -m pip install --disable-pip-version-check "${torch[@]}"
.venv/bin/python -m pip install --disable-pip-version-check -c .ci/constraints.txt "${torch[@]}" \
  -e ".[all,dev]"

# 3. Does it work? Each in a process of its own: they share libraries, and the order matters.
export YOLO_OFFLINE=True YOLO_AUTOINSTALL=False YOLO_CONFIG_DIR="$PWD/.venv/ultralytics"
mkdir -p "$YOLO_CONFIG_DIR"
for module in cv2 torch torchvision open3d pycocotools.mask ray ultralytics perception; do
  .venv/bin/python -c "import $module" || { echo "import $module fails: see above" >&2; exit 1; }
done
.venv/bin/python -c "from perception.models.import_guard import harden; harden(); import openvino" # unreported
echo "$wanted" >"$stamp"
