/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_param.c -- any text as a command line: every value stays in range.
 */
#include <stdlib.h>

#include "boot/param.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void complain(void *ctx, const char *word, const char *why)
{
	(void)ctx;
	must(why && strlen(why) && strlen(word) < PARAM_WORD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct params p;
	u32 i;

	memcpy(text, data, size);
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
	must(p.maxcpu && p.maxcpu <= PARAM_CPUS);
	must(p.panic <= PANIC_MAX || p.panic == PARAM_PANIC_HALT);
	must(p.ppts <= PARAM_PPTS);
	free(text);
	return 0;
}
