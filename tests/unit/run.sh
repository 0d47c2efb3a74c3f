#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh -- runs unit tests and fuzzers, counts cases, fails if one did.
#	run.sh FUZZ_RUNS FUZZ_SEED build/unit/test_... build/unit/fuzz_...
#
# A fuzzer counts as one case.  A program that dies before its summary counts
# as one failed case more than it reported.

runs=$1 seed=$2
shift 2
passed=0 failed=0

for prog; do
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
	passed=$((passed + ok)) failed=$((failed + bad))
	if [ "$bad" -eq 0 ]; then
		echo "ok    $name: $ok"
	else
		echo "FAIL  $name: $ok passed, $bad failed, status $rc ($log)"
		grep -v -e '^\[ RUN' -e '^\[       OK' "$log" | tail -n 60
	fi
done
echo "unit tests: $passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
