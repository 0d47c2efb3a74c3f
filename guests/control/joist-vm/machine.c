/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.c -- the machine process: what joins devices, vCPUs, timers and
 * the serial line.
 *
 * One lock covers all device state.  The main thread waits in epoll for the
 * manager, the timers and the serial line; the vCPU threads are in vcpu.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "acpi.h"
#include "guests/control/lib/hv.h"
#include "machine.h"
#include "native.h"
#include "sandbox.h"

#define NS		1000000000ull
#define FLUSH_MS	5000	/* how long an end waits for the last output */
/* Serial output is sent on this late, to be more than a byte. */
#define SERIAL_DELAY_NS	1000000

struct machine machine = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.cond = PTHREAD_COND_INITIALIZER,
};

/* ---- the end ---- */

/* Write out what the ring holds; false: would block, or nobody is there. */
static bool serial_flush(struct machine *m, unsigned port)
{
	struct serial_line *l = &m->line[port];
	struct iovec iov[2];
	u32 first;
	ssize_t n;

	while (l->out_len) {
		first = MIN(l->out_len, (u32)SERIAL_OUT - l->out_head);
		iov[0].iov_base = l->out + l->out_head;
		iov[0].iov_len = first;
		iov[1].iov_base = l->out;
		iov[1].iov_len = l->out_len - first;
		n = writev(m->fds.serial[port], iov, iov[1].iov_len ? 2 : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		l->out_head = (l->out_head + (u32)n) % SERIAL_OUT;
		l->out_len -= (u32)n;
	}
	return true;
}

void machine_end(enum vm_end how, u32 value, const char *fmt, ...)
{
	struct msg msg = { .kind = MSG_END, .how = how, .value = value };
	struct pollfd p = { .events = POLLOUT };
	va_list ap;
	unsigned i;

	va_start(ap, fmt);
	vsnprintf(msg.text, sizeof(msg.text), fmt, ap);
	va_end(ap);
	for (i = 0; i < VM_PORTS; i++) {
		p.fd = machine.fds.serial[i];
		while (!serial_flush(&machine, i))
			if (poll(&p, 1, FLUSH_MS) <= 0 ||
			    (p.revents & POLLERR))
				break;
	}
	send(machine.fds.channel, &msg, sizeof(msg), MSG_NOSIGNAL);
	_exit(0);
}

/* ---- what devices ask for (board.h) ---- */

void board_irq(unsigned line, bool level)
{
	struct devices *d = &machine.dev;

	if (line < 16)
		pic_irq(&d->pic, line, level);
	/* As the MADT says: the PIT is on pin 2, the others on their own. */
	ioapic_irq(&d->ioapic, line == IRQ_PIT ? 2 : line, level);
}

void board_intr(bool level)
{
	struct joist_run *run = machine.run[0];

	if (!run)
		return;
	if (!level) {
		__atomic_and_fetch(&run->flags, ~JOIST_RUN_EXTINT,
				   __ATOMIC_SEQ_CST);
		return;
	}
	__atomic_or_fetch(&run->flags, JOIST_RUN_EXTINT, __ATOMIC_SEQ_CST);
	vcpu_kick(&machine, 0);
}

void board_msi(u64 address, u64 data)
{
	struct joist_intr a = {
		.type = JOIST_INTR_MSI, .msi_address = address,
		.msi_data = data,
	};

	/* What the guest programmed wrongly goes nowhere, as on a bus. */
	hv_call(machine.fds.vm, JOIST_INTR, &a);
}

static u64 clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (u64)t.tv_sec * NS + (u64)t.tv_nsec;
}

u64 board_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

u64 board_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

static void set_timer(int fd, u64 when)
{
	struct itimerspec t = {
		.it_value = { (time_t)(when / NS), (long)(when % NS) },
	};

	timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL);
}

void board_timer(enum board_timer timer, u64 when)
{
	set_timer(machine.timer[timer], when);
}

bool board_serial_put(unsigned port, u8 byte)
{
	struct serial_line *l = &machine.line[port];

	if (l->out_len == SERIAL_OUT)
		return false;
	l->out[(l->out_head + l->out_len) % SERIAL_OUT] = byte;
	if (!l->out_len++)
		set_timer(machine.out_timer, board_ns() + SERIAL_DELAY_NS);
	return true;
}

static void watch(struct machine *m, int op, int fd, u32 events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(m->epoll, op, fd, &e) < 0)
		machine_end(END_ERROR, 0, "epoll: %s", strerror(errno));
}

void machine_watch(struct machine *m, int fd, bool on)
{
	watch(m, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, EPOLLIN);
}

void board_watch(int fd, bool on)
{
	machine_watch(&machine, fd, on);
}

void board_kick(unsigned slot)
{
	eventfd_write(machine.kick[slot], 1);
}

/* Wait for input if the UART has room, for output if some is left. */
static void watch_serial(struct machine *m, unsigned port)
{
	const struct serial_line *l = &m->line[port];

	watch(m, EPOLL_CTL_MOD, m->fds.serial[port],
	      (l->in_blocked ? 0 : EPOLLIN) | (l->out_len ? EPOLLOUT : 0));
}

void board_serial_room(unsigned port)
{
	struct serial_line *l = &machine.line[port];

	if (!l->in_blocked)
		return;
	l->in_blocked = false;
	watch_serial(&machine, port);
}

void board_flash_show(bool memory)
{
	struct joist_memseg a = {
		.seg = SEG_VARS, .flags = memory ? JOIST_SEG_READ : 0,
	};
	int err = hv_call(machine.fds.vm, JOIST_MEMSEG_PROTECT, &a);

	if (err < 0)
		machine_end(err == -ENXIO ? END_GONE : END_ERROR, 0,
			    "flash memory: %s", strerror(-err));
}

bool board_flash_store(u32 at, u32 len)
{
	ssize_t n;

	do
		n = pwrite(machine.cfg->vars.fd, machine.vars + at, len, at);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

/* The firmware orders its writes, so that no power failure finds half of one. */
void board_flash_sync(void)
{
	if (fdatasync(machine.cfg->vars.fd))
		machine_end(END_ERROR, 0, "uefi variables %s: %s",
			    machine.cfg->vars.path, strerror(errno));
}

int board_pages(bool drop, struct joist_pages *p)
{
	int err = hv_call(machine.fds.vm, drop ? JOIST_MEMSEG_DROP :
			  JOIST_MEMSEG_FILL, p);

	if (err < 0 && err != -ENOMEM)
		machine_end(err == -ENXIO ? END_GONE : END_ERROR, 0,
			    "balloon: %s", strerror(-err));
	return err;
}

void board_balloon(const struct balloon_state *s)
{
	struct msg msg = { .kind = MSG_MEMORY, .balloon = *s };

	send(machine.fds.channel, &msg, sizeof(msg), MSG_NOSIGNAL);
}

void board_reset(const char *how)
{
	machine_end(END_RESET, 0, "reset by the guest (%s)", how);
}

bool board_disk_error(const struct disk *d, const struct io_op *op, bool full)
{
	struct machine *m = &machine;
	bool pause = full && m->cfg->on_error == ON_ERROR_PAUSE;
	const struct msg msg = {
		.kind = MSG_DISK_ERROR, .how = pause,
		.value = (u32)(d - m->cfg->disk),
		.disk_error = {
			.kind = op->kind, .error = (u32)-op->error,
			.offset = op->offset, .unpauses = m->unpauses,
		},
	};

	send(m->fds.channel, &msg, sizeof(msg), MSG_NOSIGNAL);
	/* Not here: it lets go of the lock. */
	m->pause_due |= pause;
	return pause;
}

void board_power_off(void)
{
	machine_end(END_POWER_OFF, 0, "power-off by the guest");
}

void board_debug_exit(u32 value)
{
	machine_end(END_DEBUG_EXIT, value, "debug exit with value %u", value);
}

/* ---- memory and kernel ---- */

static void *map(struct machine *m, u64 offset, u64 size, const char *what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       m->fds.vm, (off_t)offset);

	if (p == MAP_FAILED)
		machine_end(END_ERROR, 0, "mapping %s: %s", what,
			    strerror(errno));
	return p;
}

static void map_memory(struct machine *m)
{
	unsigned v;

	m->mem.low_size = vm_low_size(m->cfg);
	m->mem.high_size = vm_high_size(m->cfg);
	m->mem.low = map(m, JOIST_MMAP_SEG(SEG_LOW), m->mem.low_size,
			 "guest memory");
	if (m->mem.high_size)
		m->mem.high = map(m, JOIST_MMAP_SEG(SEG_HIGH),
				  m->mem.high_size, "guest memory");
	if (m->cfg->firmware_size)
		m->flash = map(m, JOIST_MMAP_SEG(SEG_FLASH),
			       m->cfg->firmware_size, "firmware memory");
	if (m->cfg->vars_size)
		m->vars = map(m, JOIST_MMAP_SEG(SEG_VARS), m->cfg->vars_size,
			      "firmware memory");
	for (v = 0; v < m->cfg->vcpus; v++) {
		m->run[v] = map(m, v * PAGE_SIZE, PAGE_SIZE, "a run page");
		m->run[v]->flags = 0;
	}
}

/* What the guest before this one has given back: a PC starts with it all. */
static void fill_memory(u32 seg, u64 size)
{
	struct joist_pages p = {
		.seg = seg, .ranges = 1,
		.range[0].count = (u32)(size / PAGE_SIZE),
	};

	if (size && board_pages(false, &p))
		machine_end(END_REFUSED, 0, "the guest starts anew, and memory "
			    "that it had given back is not in the pool any "
			    "more");
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * The whole file, read: a mapping would fault if somebody shortens the file
 * under us.  Each reset reads it anew.
 */
static void image_read(struct image *im, const struct file *f)
{
	struct stat st;
	u64 done = 0;
	ssize_t n;
	u8 *p;

	if (!f->path)
		return;
	im->name = base_name(f->path);
	if (fstat(f->fd, &st) < 0)
		machine_end(END_REFUSED, 0, "%s: %s", f->path,
			    strerror(errno));
	p = malloc((size_t)st.st_size + 1);
	if (!p)
		machine_end(END_REFUSED, 0, "%s: too large (%lld bytes)",
			    f->path, (long long)st.st_size);
	while (done < (u64)st.st_size) {
		n = pread(f->fd, p + done, (size_t)st.st_size - done,
			  (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			machine_end(END_REFUSED, 0, "%s: %s", f->path,
				    strerror(errno));
		if (n == 0)
			break;
		done += (u64)n;
	}
	im->data = p;
	im->size = done;
}

static struct smbios_vm about(const struct machine *m)
{
	return (struct smbios_vm){ m->cfg->name, m->cfg->vcpus,
				   m->cfg->memory, m->cfg->salt };
}

/* Its length was looked at when the VM was made. */
static void vars_load(struct machine *m)
{
	const struct file *f = &m->cfg->vars;
	struct image im = { 0 };

	image_read(&im, f);
	if (im.size != m->cfg->vars_size)
		machine_end(END_REFUSED, 0, "%s: its size has changed",
			    f->path);
	memcpy(m->vars, im.data, im.size);
	free((void *)(uintptr_t)im.data);
}

/* Which of the serial ports are there, bit by bit. */
static unsigned coms(const struct machine *m)
{
	unsigned set = 0, i;

	for (i = 0; i < VM_SERIALS; i++)
		if (m->fds.serial[i] >= 0)
			set |= 1u << i;
	return set;
}

/* The firmware, and what it reads; the vCPUs start where power-on left them. */
static void firmware_start(struct machine *m, struct load *l)
{
	const struct smbios_vm vm = about(m);

	image_read(&l->kernel, &m->cfg->firmware);
	if (firmware_load(l, m->flash, m->cfg->firmware_size))
		machine_end(END_REFUSED, 0, "%s", l->error);
	fwcfg_init(&m->dev.fwcfg, m->cfg->vcpus, m->cfg->memory);
	if (firmware_files(&m->dev.fwcfg, &m->mem, &vm, coms(m)) ||
	    firmware_boot_order(&m->dev.fwcfg, m->boot, m->boots))
		machine_end(END_REFUSED, 0, "no room for the firmware's tables");
	free((void *)(uintptr_t)l->kernel.data);
	if (m->vars)
		vars_load(m);
}

void machine_load(struct machine *m, struct joist_regs *regs)
{
	const struct smbios_vm vm = about(m);
	struct acpi_links links;
	static struct load l;

	_Static_assert(SMBIOS_BASE + SMBIOS_SIZE <= TABLES_END,
		       "kernels stay out of the tables");

	memset(&l, 0, sizeof(l));
	l.mem = m->mem;
	if (m->flash) {
		firmware_start(m, &l);
		return;
	}
	l.cmdline = m->cfg->cmdline;
	l.regs = *regs;
	image_read(&l.kernel, &m->cfg->kernel);
	image_read(&l.initrd, &m->cfg->initrd);
	if (load_guest(&l))
		machine_end(END_REFUSED, 0, "%s", l.error);
	*regs = l.regs;
	if (acpi_build(m->mem.low + ACPI_BASE, ACPI_BASE, m->cfg->vcpus,
		       pci_window(m->mem.low_size), coms(m), &links) ||
	    smbios_build(m->mem.low + SMBIOS_BASE, SMBIOS_BASE, &vm) < 0)
		machine_end(END_REFUSED, 0, "no room for the guest's tables");
	free((void *)(uintptr_t)l.kernel.data);
	free((void *)(uintptr_t)l.initrd.data);
}

/* ---- the main thread ---- */

static void serial_in(struct machine *m, unsigned port)
{
	bool hvc = port == PORT_HVC;
	unsigned room = hvc ? console_rx_room(m->console) :
			uart_rx_room(&m->dev.com[port]), i;
	u8 buf[CONSOLE_IN];
	ssize_t n;

	_Static_assert(UART_FIFO <= CONSOLE_IN, "room for both");
	if (!room) {
		m->line[port].in_blocked = true;
		watch_serial(m, port);
		return;
	}
	n = read(m->fds.serial[port], buf, room);
	if (n > 0 && hvc)
		console_rx(m->console, buf, (unsigned)n);
	for (i = 0; n > 0 && !hvc && i < (unsigned)n; i++)
		uart_rx(&m->dev.com[port], buf[i]);
}

static void serial_out(struct machine *m, unsigned port)
{
	serial_flush(m, port);
	if (port == PORT_HVC)
		console_tx_room(m->console);
	else
		uart_tx_room(&m->dev.com[port]);
	watch_serial(m, port);
}

static void unpause(struct machine *m, u32 unpauses)
{
	m->unpauses = unpauses;
	m->pause_due = false;
	virtio_disks_retry(m);
	vcpu_unpause_all(m);
}

static void serve_manager(struct machine *m)
{
	struct msg msg;
	ssize_t n = recv(m->fds.channel, &msg, sizeof(msg), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(msg))
		_exit(0);		/* the manager is gone */
	if (msg.kind == MSG_POWER_BUTTON)
		pm_power_button(&m->dev.pm);
	else if (msg.kind == MSG_PAUSE)
		vcpu_pause_all(m);
	else if (msg.kind == MSG_UNPAUSE)
		unpause(m, msg.value);
	else if (msg.kind == MSG_MEMORY)
		balloon_ask(m->balloon, msg.value);
	else if (msg.kind == MSG_DISK_GONE)
		virtio_disk_gone(m, msg.value);
}

static void serve_timer(struct machine *m, int fd)
{
	unsigned i;
	u64 count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;			/* set anew meanwhile */
	if (fd == m->timer[TIMER_PIT])
		pit_timer(&m->dev.pit);
	else if (fd == m->timer[TIMER_RTC])
		rtc_timer(&m->dev.rtc);
	else if (fd == m->timer[TIMER_PM])
		pm_timer(&m->dev.pm);
	else if (fd == m->timer[TIMER_BALLOON])
		balloon_retry(m->balloon);
	else if (fd == m->timer[TIMER_BALLOON_ANSWER])
		balloon_answer(m->balloon);
	for (i = 0; fd == m->out_timer && i < VM_PORTS; i++)
		if (m->fds.serial[i] >= 0)
			serial_out(m, i);
}

/* False: the descriptor is not a serial line's. */
static bool serve_serial(struct machine *m, const struct epoll_event *e)
{
	unsigned port = 0;

	while (port < VM_PORTS && m->fds.serial[port] != e->data.fd)
		port++;
	if (port == VM_PORTS)
		return false;
	if (e->events & (EPOLLHUP | EPOLLERR))
		_exit(0);		/* the manager is gone */
	if (e->events & EPOLLIN)
		serial_in(m, port);
	if (e->events & EPOLLOUT)
		serial_out(m, port);
	return true;
}

static void serve_event(struct machine *m, const struct epoll_event *e)
{
	if (e->data.fd == m->fds.channel) {
		serve_manager(m);
	} else if (serve_serial(m, e)) {
		return;
	} else if (e->data.fd == m->io) {
		io_reap();
	} else if (!virtio_devices_event(m, e->data.fd)) {
		serve_timer(m, e->data.fd);
	}
}

static void main_loop(struct machine *m)
{
	struct epoll_event e[8];
	int n, i;

	for (;;) {
		n = epoll_wait(m->epoll, e, ARRAY_SIZE(e), -1);
		if (n < 0 && errno != EINTR)
			machine_end(END_ERROR, 0, "epoll: %s",
				    strerror(errno));
		pthread_mutex_lock(&m->lock);
		for (i = 0; i < n; i++)
			serve_event(m, &e[i]);
		if (m->pause_due) {
			m->pause_due = false;
			vcpu_pause_all(m);
		}
		pthread_mutex_unlock(&m->lock);
		/* The kernel may copy data now: the vCPUs need not wait. */
		virtio_disks_flush(m);
	}
}

static int open_timer(struct machine *m)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		machine_end(END_ERROR, 0, "timerfd: %s", strerror(errno));
	watch(m, EPOLL_CTL_ADD, fd, EPOLLIN);
	return fd;
}

static void open_events(struct machine *m)
{
	unsigned i;

	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (m->epoll < 0)
		machine_end(END_ERROR, 0, "epoll: %s", strerror(errno));
	for (i = 0; i < TIMER_COUNT; i++)
		m->timer[i] = open_timer(m);
	m->out_timer = open_timer(m);
	watch(m, EPOLL_CTL_ADD, m->fds.channel, EPOLLIN);
	for (i = 0; i < VM_PORTS; i++) {
		if (m->fds.serial[i] < 0)
			continue;
		fcntl(m->fds.serial[i], F_SETFL, O_NONBLOCK);
		watch(m, EPOLL_CTL_ADD, m->fds.serial[i], EPOLLIN);
	}
}

static void sandboxed(int err)
{
	if (err)
		machine_end(END_REFUSED, 0, "sandbox of the device process: %s",
			    strerror(-err));
}

void machine_main(const struct vm_config *cfg, const struct machine_fds *fds)
{
	struct msg ready = { .kind = MSG_READY };
	pid_t manager = getppid();
	struct machine *m = &machine;
	int err;

	m->cfg = cfg;
	m->fds = *fds;
	sandboxed(native_init());
	sandboxed(sandbox_close(cfg, fds));
	open_events(m);
	map_memory(m);
	if (cfg->balloon) {
		fill_memory(SEG_LOW, m->mem.low_size);
		fill_memory(SEG_HIGH, m->mem.high_size);
	}
	if (devices_init(m))
		machine_end(END_REFUSED, 0, "debug exit port %#x: taken by "
			    "another device", (unsigned)cfg->debug_exit);
	virtio_devices_init(m);
	err = sandbox_enter();
	if (err > 0)
		snprintf(ready.text, sizeof(ready.text), "the device process "
			 "keeps its files and network: namespaces: %s",
			 strerror(err));
	else
		sandboxed(err);
	/* A change of user has cleared that. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != manager)
		_exit(0);
	vcpu_reset_all(m);
	sandboxed(sandbox_loaded(cfg));
	sandboxed(virtio_disks_threads(m));
	/* The threads wait for the lock until they are confined, too. */
	pthread_mutex_lock(&m->lock);
	vcpu_start_all(m);
	sandboxed(sandbox_filter(cfg));
	/* Before the guest can end: a machine that was never ready has failed. */
	if (send(fds->channel, &ready, sizeof(ready), MSG_NOSIGNAL) < 0)
		_exit(0);
	pthread_mutex_unlock(&m->lock);
	main_loop(m);
	_exit(0);
}
