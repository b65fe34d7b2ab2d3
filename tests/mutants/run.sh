#!/usr/bin/env bash
# Plants one defect after the other, and tells which check finds it.
#
#   tests/mutants/run.sh [NAME...]     all, or those of these names
#
# A patch says in its head what it plants, and after `Check:` what `cargo test` is told, the cheapest check first. A defect
# is found when a check fails; then the next one is planted. First all checks have to pass without any defect.
#
#   OMNE_MUTANTS_ALL=1      makes all checks of a defect, also after one has found it
#   OMNE_MUTANTS_TRUST=1    does not make the checks without a defect first
#   OMNE_MUTANTS_LIMIT=900  seconds after which a check has failed (it hangs)
#   OMNE_MUTANTS_DIR=DIR    where the scratch copy, its builds and the logs are; `target/mutants`
#
# Exit code 1 when a defect survives, a patch no longer applies, or a check fails without a defect.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=${OMNE_MUTANTS_DIR:-$root/target/mutants}
mkdir -p "$scratch" && scratch=$(cd "$scratch" && pwd)
tree=$scratch/tree
logs=$scratch/logs
limit=${OMNE_MUTANTS_LIMIT:-900}
export CARGO_TARGET_DIR=$scratch/target
mkdir -p "$tree" "$logs"

# Makes the copy what the repository is, and touches nothing that is the same: builds stay warm.
renew() {
    (cd "$root" && git -c core.quotePath=false ls-files -co --exclude-standard) | grep -v '^tests/mutants/' >"$scratch/files"
    while IFS= read -r file; do
        [ -f "$root/$file" ] || continue
        cmp -s "$root/$file" "$tree/$file" && continue
        mkdir -p "$tree/$(dirname "$file")"
        cp "$root/$file" "$tree/$file"
    done <"$scratch/files"
    (cd "$tree" && find . -type f | sed 's|^\./||') | { grep -vxFf "$scratch/files" || true; } |
        while IFS= read -r file; do rm "$tree/$file"; done
}

# Makes a check; its output is in the log. Prints what came of it: `passed`, `found by …`, or why it says nothing.
try() {
    local check=$1 log=$2 code=0 names seed
    # The words of a check are words of the command line.
    # shellcheck disable=SC2086
    (
        # What tests play as an agent is an example, which cargo does not build for a single one of them.
        cd "$tree" &&
            case $check in "-p omne "*) cargo build -j1 -q -p omne --examples ;; esac &&
            cargo test -j1 -q --no-run $check
    ) </dev/null >"$log" 2>&1 || { echo "broken: it does not compile" && return; }
    # shellcheck disable=SC2086
    (cd "$tree" && timeout "$limit" cargo test -j1 -q $check) </dev/null >"$log" 2>&1 || code=$?
    if [ "$code" -eq 0 ]; then
        if grep -q '[1-9][0-9]* passed' "$log"; then echo passed; else echo "broken: no test is called by \`$check\`"; fi
    elif [ "$code" -eq 124 ]; then
        echo "found by \`$check\`, which does not end"
    else
        names=$(sed -n 's/^---- \(.*\) stdout ----$/`\1`/p' "$log" | sort -u | paste -sd, | sed 's/,/, /g')
        seed=$(sed -n 's/^seed \([0-9]*\): .*/\1/p' "$log" | sort -n | head -1)
        if [ -n "$seed" ]; then
            names="$names in run $seed: $(sed -n "s/^seed $seed: //p" "$log" | head -1 | cut -c1-160)"
        fi
        echo "found by ${names:-\`$check\`, which ended with code $code}"
    fi
}

renew
patches=()
if [ $# -eq 0 ]; then
    patches=("$root"/tests/mutants/*.patch)
else
    for name in "$@"; do patches+=("$root/tests/mutants/$name.patch"); done
fi

bad=0
if [ -z "${OMNE_MUTANTS_TRUST:-}" ]; then
    while IFS= read -r check; do
        result=$(try "$check" "$logs/without.log")
        if [ "$result" != passed ]; then
            echo "without a defect: $result; see $logs/without.log"
            exit 1
        fi
    done < <(sed -n 's/^Check: //p' "${patches[@]}" | sort -u)
fi

for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    if ! (cd "$tree" && patch -p1 -s -F0 --dry-run -i "$patch" >"$logs/$name.log" 2>&1); then
        echo "$name: the patch no longer applies; see $logs/$name.log"
        bad=1
        continue
    fi
    (cd "$tree" && patch -p1 -s -F0 --no-backup-if-mismatch -i "$patch")
    fate=survived at=0
    while IFS= read -r check; do
        at=$((at + 1))
        result=$(try "$check" "$logs/$name.$at.log")
        case $result in
            found*)
                fate=found
                echo "$name: $result"
                [ -n "${OMNE_MUTANTS_ALL:-}" ] || break
                ;;
            broken*)
                fate=broken
                echo "$name: $result; see $logs/$name.$at.log"
                break
                ;;
        esac
    done < <(sed -n 's/^Check: //p' "$patch")
    [ $fate != survived ] || echo "$name: SURVIVED"
    [ $fate = found ] || bad=1
    renew
done
exit $bad
