/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * param.h -- boot tunables: what may stand on the hypervisor's command line.
 */
#ifndef BOOT_PARAM_H
#define BOOT_PARAM_H

#include "arch/x86/mitigations.h"
#include "core/types.h"

#define PARAM_WORD		512	/* bytes of one word, with its NUL */
#define PARAM_UARTS		4
#define PARAM_PANIC_HALT	(~0u)

enum param_vid { PARAM_VID_OFF, PARAM_VID_ON, PARAM_VID_AUTO };

struct param_uart {
	u16 port;
	u32 baud;
};

struct params {
	u64 control_mem;		/* bytes; 0: Joist chooses */
	u32 uarts;			/* console: serial ports in use ... */
	struct param_uart uart[PARAM_UARTS];
	bool screen;			/* ... and the screen */
	u32 loglvl;			/* 0 error, 1 warn, 2 info, 3 debug */
	u32 maxcpu;			/* cores to use, 1..MAX_CPUS */
	u32 panic;			/* seconds to reboot, or PARAM_PANIC_HALT */
	enum param_vid vid;		/* use virtual-interrupt delivery */
	enum mitigation_mode mitigations;	/* of the CPU's vulnerabilities */
};

/*
 * Words are parted by blanks; double quotes and backslashes work as GRUB
 * writes them.  A word that is unknown or malformed is handed to complain
 * (already unquoted, cut at PARAM_WORD) and changes nothing in p.
 */
void param_parse(const char *cmdline, struct params *p,
		 void (*complain)(void *ctx, const char *word, const char *why),
		 void *ctx);

#endif
