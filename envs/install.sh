#!/usr/bin/env bash
# Make .venv from the lock files. `make` calls this. Environment variables:
#   PYTHON     interpreter for .venv (default python3; 3.11 or newer)
#   INSTALLER  uv (default, fast) or pip (slower, but uses pip's own configuration: mirrors, proxies, certificates)
#   TORCH      locked (default: the lock file's torch, which brings CUDA libraries and also runs without a GPU),
#              cpu (the same versions as CPU wheels from PyTorch's own index, not hash-checked; needs uv),
#              installed (keep the torch and torchvision that you installed into .venv by hand)
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
cd "$(dirname "$0")/.."

python=${PYTHON:-python3} installer=${INSTALLER:-uv} torch=${TORCH:-locked}
lock=envs/requirements.lock
unfinished=.venv/.unfinished
again=

fail() {
    printf 'reprior: %s\n' "$1" >&2
    exit 1
}

check_settings() {
    case $installer in uv | pip) ;; *) fail "INSTALLER=$installer is unknown: use uv or pip." ;; esac
    case $torch in locked | cpu | installed) ;; *) fail "TORCH=$torch is unknown: use locked, cpu or installed." ;; esac
    if [ "$torch$installer" = cpupip ]; then
        fail "TORCH=cpu needs INSTALLER=uv. With pip, put CPU wheels of torch and torchvision into .venv yourself
(see the install page of PyTorch), then use TORCH=installed."
    fi
}

check_python() {
    command -v "$python" >/dev/null ||
        fail "PYTHON=$python was not found. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$python is older than Python 3.11 (or does not start). Name a newer one: make PYTHON=/path/to/python3"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv"
}

# An interrupted install can look complete to an installer, so it is never continued.
make_venv() {
    if [ "$torch" = installed ]; then
        [ -x .venv/bin/python ] ||
            fail "TORCH=installed, but there is no .venv: first make it, and install torch and torchvision into it."
        [ ! -e "$unfinished" ] || again=--force-reinstall
    elif [ -e "$unfinished" ] || ! .venv/bin/python -c '' 2>/dev/null; then
        check_python
        rm -rf .venv
        mkdir .venv
        touch "$unfinished"
        "$python" -m venv .venv
    fi
    touch "$unfinished"
}

# Compile packages at installation, as pip does. Else, if Python may not write bytecode, every job would compile torch.
add() {
    if [ "$installer" = uv ]; then
        .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python "$@" ||
            fail "uv could not install the packages. It does not read pip's configuration: if a mirror, a proxy or
certificates are set up for pip, use INSTALLER=pip."
    else
        .venv/bin/python -m pip install --use-pep517 "$@"
    fi
}

# Only packages in the lock file, each checked by hash.
add_locked() {
    add ${again:+"$again"} --require-hashes --no-deps --no-build-isolation -r "$1"
}

# The lock's entries without torch and what only its CUDA wheels need.
lock_without_torch() {
    awk '/^[^[:space:]]/ { skip = /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==/ } !skip' "$lock"
}

locked_version() {
    sed -nE "s/^$1==([^ ]+).*/\1/p" "$lock"
}

add_cpu_torch() {
    .venv/bin/uv pip install --compile-bytecode --python .venv/bin/python --torch-backend cpu --no-deps \
        "torch==$(locked_version torch)" "torchvision==$(locked_version torchvision)" ||
        fail "the CPU wheels of torch could not be installed. Put torch and torchvision into .venv yourself
(see the install page of PyTorch), then use TORCH=installed."
}

add_around_torch() {
    lock_without_torch >.venv/without-torch.lock
    add_locked .venv/without-torch.lock
    .venv/bin/python -c 'import torch, torchvision' ||
        fail "TORCH=$torch: torch and torchvision in .venv are missing or do not belong together."
}

check_settings
make_venv
.venv/bin/python -m pip install --quiet --require-hashes --no-deps -r envs/installer.lock
case $torch in
locked) add_locked "$lock" ;;
cpu) add_cpu_torch && add_around_torch ;;
installed) add_around_torch ;;
esac
add --no-deps --no-build-isolation --editable .
.venv/bin/python -m pip check
rm "$unfinished"
echo "$torch" >.venv/.installed # the Makefile reads it, so that the next install keeps the choice
