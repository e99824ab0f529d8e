#!/bin/sh
# What only a machine with a GPU can tell, in one run of some minutes: that the shaders compute there what they should, how
# fast each network is beside burn's own back ends, and how long a training step takes beside PyTorch on CUDA. Each result is a
# file of the folder OUT; what fails says so, does not end the run, and makes the exit status 1.
#
#     cargo build --release -p finegrain-native --features cuda,wgpu
#     sh tests/peers/gpu.sh OUT
#
# FINEGRAIN is the program (target/release/finegrain), ENGINE the tests of the engine (`cargo test --test engine --no-run` names
# them; left out without), PYTHON one with PyTorch (python3).
cd "$(dirname "$0")/../.." || exit 1
out=${1:?the folder for the results}
finegrain=${FINEGRAIN:-target/release/finegrain}
mkdir -p "$out" || exit 1
status=0

# FILE SECONDS COMMAND...
run() {
    file=$out/$1 seconds=$2
    shift 2
    if timeout "$seconds" "$@" >"$file" 2>"$file.err"; then
        echo "good    $file"
    else
        status=1
        echo "failed  $file: $(tail -n 1 "$file.err")"
    fi
}

if [ -n "$ENGINE" ]; then run engine.txt 300 "$ENGINE"; fi
for trace in tests/fixtures/*.safetensors; do
    run "verify-$(basename "$trace" .safetensors).txt" 60 "$finegrain" verify "$trace" --backend webgpu
done
for network in vit-tiny/224 vit-tiny/448 vit-small/224 vit-base/224 vit-base/448 resnet-50/224; do
    model=${network%/*} size=${network#*/}
    for precision in f32 f16 int8; do
        run "$model-$size-$precision.json" 60 \
            "$finegrain" bench --json --model "$model" --size "$size" --precision "$precision" --runs 30
    done
    run "$model-$size-beside.json" 120 \
        "$finegrain" bench --json --model "$model" --size "$size" --precision f16 --runs 30 --beside cuda,wgpu
done
# DCAL's own setting: DeiT-Tiny's shape at 448 pixels, 16 photos (twice: CUDA kernels are compiled and tuned in the first run).
for mechanism in none glca dcal; do
    step="bench-training --json --size 448 --batch 16 --device cuda --mechanism $mechanism"
    for turn in first second; do
        run "step-$mechanism-f32-$turn.json" 180 "$finegrain" $step
        run "step-$mechanism-bf16-$turn.json" 180 "$finegrain" $step --bf16
    done
    for precision in f32 tf32 bf16; do
        run "step-$mechanism-$precision-pytorch.json" 60 \
            "${PYTHON:-python3}" tests/peers/training_step.py 448 16 "$mechanism" cuda "$precision"
    done
done
exit $status
