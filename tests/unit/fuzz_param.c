/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_param.c -- any text as a command line: every value stays in range.
 */
#include "boot/param.c"
#include "tests/unit/fuzz_patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void complain(void *ctx, const char *word, const char *why)
{
	(void)ctx;
	must(why && strlen(why) && strlen(word) < PARAM_WORD);
}

static const char line[] =
	"control_mem=512M console=com1:9600,0x2f8,screen loglvl=debug maxcpu=4 "
	"panic=10 vid=off mitigations=off \"panic=5\" "
	"maxcpu=0x10 panic=halt console=none";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = (char *)fuzz_patch(data, size, (const u8 *)line,
					sizeof(line), &size);
	struct params p;
	u32 i;

	text[size] = 0;
	param_parse(text, &p, complain, NULL);
	must(!p.control_mem || p.control_mem >= CONTROL_MEM_MIN);
	must(p.control_mem <= MEM_LIMIT);
	must(p.uarts <= PARAM_UARTS);
	for (i = 0; i < p.uarts; i++) {
		must(p.uart[i].port >= UART_PORT_MIN);
		must(p.uart[i].baud >= UART_BAUD_MIN && UART_CLOCK % p.uart[i].baud == 0);
	}
	must(p.loglvl <= 3);
	must(p.maxcpu && p.maxcpu <= MAX_CPUS);
	must(p.panic <= PANIC_MAX || p.panic == PARAM_PANIC_HALT);
	free(text);
	return 0;
}
