#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh -- runs unit tests and fuzzers, one for each core at a time, counts
# cases, fails if one did.
#	run.sh FUZZ_RUNS FUZZ_SEED build/unit/test_... build/unit/fuzz_...
#
# A fuzzer counts as one case.  A program that dies before its summary counts
# as one failed case more than it reported.

# One program: a line about it, and its two counts in PROGRAM.count.
if [ "$1" = one ]; then
	runs=$2 seed=$3 prog=$4
	name=${prog##*/}
	log=$prog.log
	case $name in
	fuzz_*)
		"$prog" -runs="$runs" -seed="$seed" -max_len=4096 -timeout=60 \
			-artifact_prefix="$prog-" >"$log" 2>&1
		rc=$?
		ok=0 bad=0
		[ $rc -eq 0 ] && ok=1 || bad=1
		;;
	*)
		CMOCKA_MESSAGE_OUTPUT=stdout "$prog" >"$log" 2>&1
		rc=$?
		ok=$(grep -c '^\[       OK \] ' "$log")
		ran=$(grep -c '^\[ RUN      \] ' "$log")
		skip=$(grep '^\[  SKIPPED \] [^0-9]' "$log" | sort -u | wc -l)
		bad=$((ran - ok - skip))
		[ $bad -gt 0 ] || [ $rc -eq 0 ] || bad=1
		[ "$ran" -gt 0 ] || bad=1
		;;
	esac
	echo "$ok $bad" > "$prog.count"
	# In one piece: others write at the same time.
	if [ "$bad" -eq 0 ]; then
		echo "ok    $name: $ok"
	else
		say=$(grep -v -e '^\[ RUN' -e '^\[       OK' "$log" | tail -n 60)
		echo "FAIL  $name: $ok passed, $bad failed, status $rc ($log)
$say"
	fi
	exit 0
fi

runs=$1 seed=$2
shift 2
for prog; do rm -f "$prog.count"; done
printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" sh "$0" one "$runs" "$seed"
passed=0 failed=0
for prog; do
	ok=0 bad=1
	[ ! -s "$prog.count" ] || read -r ok bad < "$prog.count"
	passed=$((passed + ok)) failed=$((failed + bad))
done
echo "unit tests: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
