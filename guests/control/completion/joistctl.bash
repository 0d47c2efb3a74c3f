# SPDX-License-Identifier: BSD-2-Clause
# Completion of joistctl for bash: goes to
# /usr/share/bash-completion/completions/joistctl.  What there is to complete
# comes from the tool itself: its help, and the VMs it knows.

_joistctl_commands()
{
	joistctl help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\).*/\1/p'
}

_joistctl_options()	# of start and run
{
	joistctl start --help 2>/dev/null |
		sed -n 's/^  \(-.,\|   \) \(--[a-z-]*\).*/\2/p'
}

_joistctl_vms()
{
	joistctl status --all --json 2>/dev/null |
		sed -n 's/^ *"name": "\(.*\)",*$/\1/p'
}

_joistctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local at=1 command

	COMPREPLY=()
	[[ ${COMP_WORDS[1]} == -f || ${COMP_WORDS[1]} == --config ]] && at=3
	if ((COMP_CWORD < at)); then
		((COMP_CWORD == 2)) && compopt -o default
		return
	fi
	if ((COMP_CWORD == at)); then
		COMPREPLY=($(compgen -W "$(_joistctl_commands)" -- "$cur"))
		return
	fi
	command=${COMP_WORDS[at]}
	case $prev in
	-k|--kernel|-r|--initrd|-f|--firmware|-d|--disk|--config)
		[[ $command == stop ]] || { compopt -o default; return; } ;;
	--on-error)
		COMPREPLY=($(compgen -W "pause report" -- "$cur"))
		return ;;
	--on-crash|--on-reboot|--on-poweroff)
		COMPREPLY=($(compgen -W "destroy restart preserve" -- "$cur"))
		return ;;
	--balloon)
		COMPREPLY=($(compgen -W "yes no" -- "$cur"))
		return ;;
	-F|--format)
		COMPREPLY=($(compgen -W "raw qcow2" -- "$cur"))
		return ;;
	-s|--serial|--console)
		[[ $command == create ]] || COMPREPLY=($(compgen -W \
			"console none pty file: unix:" -- "$cur"))
		return ;;
	esac
	case $command:$cur in
	start:-*|run:-*)
		COMPREPLY=($(compgen -W "$(_joistctl_options)" -- "$cur")) ;;
	stop:-*)
		COMPREPLY=($(compgen -W "--all --force --timeout" -- "$cur")) ;;
	console:-*|log:-*)
		COMPREPLY=($(compgen -W "--port --watch" -- "$cur")) ;;
	memory:-*)
		COMPREPLY=($(compgen -W "--wait --timeout --json" \
			-- "$cur")) ;;
	create:-*)
		COMPREPLY=($(compgen -W "--size --format --backing" \
			-- "$cur")) ;;
	status:-*)
		COMPREPLY=($(compgen -W "--all --json" -- "$cur")) ;;
	show:-*|wait:-*|stats:-*|info:-*)
		COMPREPLY=($(compgen -W "--json" -- "$cur")) ;;
	top:-*)
		COMPREPLY=($(compgen -W "--json --delay --count" -- "$cur")) ;;
	dmesg:-*)
		COMPREPLY=($(compgen -W "--follow" -- "$cur")) ;;
	help:*)
		COMPREPLY=($(compgen -W "$(_joistctl_commands)" -- "$cur")) ;;
	load:*|create:*)
		compopt -o default ;;
	*)
		COMPREPLY=($(compgen -W "$(_joistctl_vms)" -- "$cur")) ;;
	esac
}

complete -F _joistctl joistctl
