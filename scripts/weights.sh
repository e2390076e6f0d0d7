#!/usr/bin/env bash
# Trains the bundled checkpoints from nothing, as docs/weights.md tells.  What is there already is not
# made again, and training that was stopped goes on, so that it may take several evenings.
#   DATA=folder with brca_m2c/, dsb2018_stained/ and endonuke/   THREADS=cores to use (default: all)
#   STEPS=2 trains each part for so many steps, to see whether all of it runs   WORK=where to
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly WORK=${WORK:-build/weights}
readonly DATA=${DATA:?"is not set. Say where brca_m2c/ and dsb2018_stained/ are: make weights DATA=folder"}
readonly THREADS=${THREADS:-$(getconf _NPROCESSORS_ONLN)}

# make_once FOLDER COMMAND...: runs nunext-train with --out FOLDER, unless it is there.
make_once() {
    local out=$WORK/$1
    shift
    [ -d "$out" ] || .venv/bin/nunext-train "$@" --out "$out"
}

# trained FOLDER COMMAND...: likewise, going on where it was stopped.
trained() {
    make_once "$@" --threads "$THREADS" ${STEPS:+--steps "$STEPS"} --resume
}

# released FOLDER COMMAND...: likewise, measured on what it was chosen by and on what was kept aside.
released() {
    make_once "$@" --threads "$THREADS" --card "scripts/weights/$(basename "$1").md"
}

for set in brca_m2c dsb2018_stained endonuke; do
    [ -d "$DATA/$set" ] || die "$DATA has no $set. docs/weights.md says where it comes from."
done
mkdir -p "$WORK"

make_once brca import brca-m2c "$DATA/brca_m2c"
make_once dsb import dsb2018 "$DATA/dsb2018_stained"
make_once drawn import synthetic --count 96 --size-px 320 --seed 11 --split train
make_once drawn-few import synthetic --count 40 --size-px 320 --seed 11 --split train
make_once outlined import synthetic --count 80 --size-px 192
make_once dsb-ihc import painted-ihc "$WORK/dsb" --sections 1 --seed 5
make_once endo import endonuke "$DATA/endonuke"

make_once sam-0 build-sam --preset small
trained sam-1 segmenter --data "$WORK/dsb" "$WORK/outlined" --checkpoint "$WORK/sam-0" \
    --recipe segmenter_small
trained sam-2 segmenter --data "$WORK/dsb" --checkpoint "$WORK/sam-1" --recipe segmenter_small_real
trained sam-3 segmenter --data "$WORK/dsb" --checkpoint "$WORK/sam-2" --recipe segmenter_small_real \
    --seed 1 --lr 3e-4 --steps "${STEPS:-700}"
trained sam-4 segmenter --data "$WORK/dsb" --checkpoint "$WORK/sam-3" --recipe segmenter_small_fine
trained sam-5 segmenter --data "$WORK/dsb" "$WORK/dsb-ihc" --checkpoint "$WORK/sam-4" \
    --recipe segmenter_small_stains
trained sam-6 segmenter --data "$WORK/dsb" "$WORK/dsb-ihc" --checkpoint "$WORK/sam-5" \
    --recipe segmenter_small_stains --seed 5 --lr 3e-4 --steps "${STEPS:-700}" --validate-every 350
make_once sam-7 extend --pretrained-trunk --checkpoint "$WORK/sam-6"
trained sam-8 segmenter --data "$WORK/dsb" "$WORK/dsb-ihc" --checkpoint "$WORK/sam-7" \
    --recipe segmenter_small_trunk
trained sam-9 segmenter --data "$WORK/dsb" "$WORK/dsb-ihc" --checkpoint "$WORK/sam-8" \
    --recipe segmenter_small_corrected
trained sam-10 segmenter --data "$WORK/dsb" "$WORK/dsb-ihc" --checkpoint "$WORK/sam-9" \
    --recipe segmenter_small_corrected --seed 8 --steps "${STEPS:-2000}" --validate-every 500
trained sam-11 segmenter --data "$WORK/dsb" "$WORK/dsb-ihc" --checkpoint "$WORK/sam-10" \
    --recipe segmenter_small_colours
trained sam-12 segmenter --data "$WORK/dsb" "$WORK/dsb-ihc" --checkpoint "$WORK/sam-11" \
    --recipe segmenter_small_colours --seed 10 --steps "${STEPS:-1000}" --validate-every 500
released nunext-sam-small release --checkpoint "$WORK/sam-12" --data "$WORK/dsb" --splits val test

make_once detector-0 build --preset small --latents 4 --instruction "Point to nucleus." \
    --categories "Lymphocyte,Tumour or epithelial,Stromal"
trained detector-1 sft --data "$WORK/brca" "$WORK/drawn" --checkpoint "$WORK/detector-0" --recipe small
trained detector-2 sft --data "$WORK/brca" "$WORK/drawn" "$WORK/dsb" \
    --checkpoint "$WORK/detector-1" --recipe small_thought --covt "$WORK/sam-2"
trained detector-3 sft --data "$WORK/brca" "$WORK/drawn" "$WORK/dsb" \
    --checkpoint "$WORK/detector-2" --recipe small_thought --seed 2 --steps "${STEPS:-400}"
trained detector-4 sft --data "$WORK/brca" "$WORK/drawn-few" "$WORK/dsb" \
    --checkpoint "$WORK/detector-3" --recipe small_wide
trained detector-5 rft --data "$WORK/brca" "$WORK/dsb" --checkpoint "$WORK/detector-4" \
    --recipe small_wide

make_once brca-ihc import painted-ihc "$WORK/brca" --sections 1 --seed 7 --segmenter "$WORK/nunext-sam-small"
make_once detector-6 extend --checkpoint "$WORK/detector-5" --pretrained-trunk \
    --data "$WORK/brca" "$WORK/drawn-few" "$WORK/dsb"
trained detector-7 sft --data "$WORK/brca" "$WORK/drawn-few" "$WORK/dsb" \
    --checkpoint "$WORK/detector-6" --recipe small_stains --steps "${STEPS:-800}"
make_once detector-8 extend --checkpoint "$WORK/detector-7" --categories "Positive,Negative"
trained detector-9 sft --data "$WORK/brca" "$WORK/drawn-few" "$WORK/dsb" "$WORK/brca-ihc" \
    --checkpoint "$WORK/detector-8" --recipe small_stains
trained detector-10 sft --checkpoint "$WORK/detector-9" --recipe small_last \
    --data "$WORK/brca" "$WORK/drawn-few" "$WORK/dsb" "$WORK/brca-ihc" "$WORK/dsb-ihc" "$WORK/endo"
make_once detector-11 extend --second-look --checkpoint "$WORK/detector-10" --data "$WORK/brca"
released nunext-small release --checkpoint "$WORK/detector-11" --data "$WORK/brca" "$WORK/dsb" "$WORK/endo" \
    --splits val test --weights bfloat16 --segmenter "$WORK/nunext-sam-small"

say "$WORK/nunext-small and $WORK/nunext-sam-small; to bundle them, put them into napari_nunext/weights."
