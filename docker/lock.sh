#!/usr/bin/env bash
# Write the lock files of both images again, from pyproject.toml. Needs uv (pip install uv) and the package index.
set -euo pipefail
cd "$(dirname "$0")"

TORCH="torch==2.13.0"
CUDA_ONLY="cuda-bindings cuda-toolkit nvidia-cudnn-cu13 nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvshmem-cu13 triton"

lock() { # lock OUTPUT [OPTIONS...]
    local output=$1
    shift
    uv pip compile --quiet ../pyproject.toml - --extra train --extra s3 --upgrade --generate-hashes --no-annotate \
        --python-version 3.12 --python-platform x86_64-manylinux_2_28 \
        --custom-compile-command "docker/lock.sh" --output-file "$output" "$@" <<<"$TORCH"
}

lock requirements-gpu.lock

# PyTorch's own index has the CPU build: the image takes it from there, and everything else from the lock.
without_cuda=$(mktemp)
trap 'rm -f "$without_cuda"' EXIT
for package in $CUDA_ONLY; do
    echo "$package ; sys_platform == 'none'" >>"$without_cuda"
done
lock requirements-cpu.lock --override "$without_cuda" --no-emit-package torch
