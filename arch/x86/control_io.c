/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_io.c -- the few ports of the control VM that exit: sleep.
 *
 * In S3 memory stays, and the firmware wakes the OS without Joist beneath it:
 * all of memory would be open.  So no sleep state is entered but S5, which is
 * power-off.  Who asks for another one finds that the machine woke at once.
 */
#include "arch/x86/control_io.h"
#include "arch/x86/exit.h"
#include "core/log.h"
#include "core/string.h"

static struct acpi_sleep sleep __ro_after_init;
static u16 ports[2 * SLEEP_REGISTERS] __ro_after_init;
static u32 port_count __ro_after_init;
static u32 woken;			/* [a] WAK_STS reads 1 until it is cleared */

void control_sleep_init(const struct acpi_sleep *s)
{
	u32 i;

	sleep = *s;
	for (i = 0; i < SLEEP_REGISTERS; i++) {
		if (!s->control[i])
			continue;
		ports[port_count++] = s->control[i];
		if (s->status[i])
			ports[port_count++] = s->status[i];
	}
	if (s->elsewhere)
		log_warn("a sleep register is not in I/O ports: nobody looks after it");
	if (port_count && !s->off[0])
		log_warn("ACPI does not say how to power off: the control VM cannot");
}

u32 control_ports(const u16 **list)
{
	*list = ports;
	return port_count;
}

/* The byte of an access at port that goes to a register's byte, or -1. */
static int byte_of(u16 reg, u16 port, u8 size)
{
	return reg && reg >= port && reg - port < size ? reg - port : -1;
}

u32 control_sleep_out(u16 port, u8 size, u32 val, bool *slept)
{
	u32 i, enable;
	int at;

	*slept = false;
	for (i = 0; i < SLEEP_REGISTERS; i++) {
		at = byte_of(sleep.status[i], port, size);
		if (at >= 0 && (val >> 8 * at & SLEEP_WAKE))
			__atomic_store_n(&woken, 0, __ATOMIC_RELAXED);
		at = byte_of(sleep.control[i], port, size);
		if (at < 0)
			continue;
		enable = (u32)SLEEP_ENABLE << 8 * at;
		if (!(val & enable) ||
		    (sleep.off[i] & BIT(field_get(SLEEP_TYPE, val >> 8 * at))))
			continue;
		val &= ~enable;
		*slept = true;
	}
	if (*slept)
		__atomic_store_n(&woken, 1, __ATOMIC_RELAXED);
	return val;
}

u32 control_sleep_in(u16 port, u8 size, u32 val)
{
	u32 i;
	int at;

	if (!__atomic_load_n(&woken, __ATOMIC_RELAXED))
		return val;
	for (i = 0; i < SLEEP_REGISTERS; i++) {
		at = byte_of(sleep.status[i], port, size);
		if (at >= 0)
			val |= (u32)SLEEP_WAKE << 8 * at;
	}
	return val;
}

static u32 port_in(u16 port, u8 size)
{
	return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

static void port_out(u16 port, u8 size, u32 val)
{
	if (size == 1)
		outb(port, (u8)val);
	else if (size == 2)
		outw(port, (u16)val);
	else
		outl(port, val);
}

enum verdict control_io(struct vcpu *v)
{
	static struct ratelimit limit;
	u16 port = v->x.io.port;
	u8 size = v->x.io.size;
	u64 mask = BIT(8 * size) - 1, *rax = &v->gpr[JOIST_RAX];
	bool slept;
	u32 val;

	/* Nobody puts a machine to sleep by a string. */
	if (v->x.io.string)
		return exit_gp(v);
	if (v->x.io.in) {
		val = control_sleep_in(port, size, port_in(port, size));
		*rax = size == 4 ? val : (*rax & ~mask) | val;
	} else {
		val = control_sleep_out(port, size, (u32)(*rax & mask), &slept);
		port_out(port, size, val);
		if (slept && ratelimit_ok(&limit, 5))
			log_warn("the control VM may not put the machine to sleep: it wakes at once");
	}
	exit_step(v, v->x.insn_len);
	return RETRY;
}
