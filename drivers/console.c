/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c -- the log on serial ports and screen.
 */
#include "arch/x86/paging.h"
#include "boot/mb2.h"
#include "boot/param.h"
#include "core/log.h"
#include "drivers/console.h"
#include "drivers/screen.h"
#include "drivers/uart.h"

static struct uart uarts[PARAM_UARTS];
static unsigned uart_count;

static void serial_putc(char c)
{
	unsigned i;

	for (i = 0; i < uart_count; i++)
		uart_putc(&uarts[i], c);
}

void console_init_serial(const struct params *p)
{
	unsigned i;

	for (i = 0; i < p->uarts; i++)
		if (!uart_init(&uarts[uart_count], p->uart[i].port, p->uart[i].baud))
			uart_count++;
	if (uart_count)
		log_sink_add(serial_putc);
}

static const struct screen_mode *early_mode;

/* Memory is mapped at its own address below 4 GiB until paging_init(). */
static void early_screen(void)
{
	log_before_refuse(NULL);
	if (early_mode->addr + screen_bytes(early_mode) <= 4 * GiB &&
	    !screen_init(early_mode, (volatile void *)early_mode->addr))
		log_sink_add(screen_putc);
}

void console_early_screen(const struct params *p, const struct boot_info *bi)
{
	if (!p->screen || !bi->has_screen)
		return;
	early_mode = &bi->screen;
	log_before_refuse(early_screen);
}

void console_init_screen(const struct params *p, const struct boot_info *bi)
{
	volatile void *base;

	log_before_refuse(NULL);
	if (!p->screen || !bi->has_screen)
		return;
	base = map_window(bi->screen.addr, screen_bytes(&bi->screen), MAP_DEVICE);
	if (!screen_init(&bi->screen, base))
		log_sink_add(screen_putc);
}
