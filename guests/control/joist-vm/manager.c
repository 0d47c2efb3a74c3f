/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manager.c -- the manager process: creates the VM, starts machines in it,
 * keeps the serial ports' history, and serves consoles and commands.
 *
 * One thread, one poll() loop.  Whatever way it ends, the VM ends with it:
 * its last descriptors are here and in the machine, which dies with its
 * parent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "guests/control/lib/err.h"
#include "guests/control/lib/hv.h"
#include "firmware.h"
#include "manager.h"
#include "policy.h"
#include "serial.h"
#include "speculation.h"
#include "storage.h"
#include "user_net.h"

#define NS		1000000000ull
#define ERROR_NS	(10 * NS)	/* not more than one line of a disk in it */
#define HANG_UP_NS	NS		/* signals in that time are one */
#define LAST_MS		1000		/* for clients to take the last output */
#define LAST_ATTACH_MS	10000

static struct manager manager;

u64 manager_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * NS + (u64)t.tv_nsec;
}

/* On the terminal, or in the system log once there is none. */
static void report(const struct manager *m, const char *reason,
		   const char *then)
{
	warn_msg("%s: %s%s", m->cfg->name, reason, then);
	if (m->quiet)
		syslog(LOG_WARNING, "%s: %s%s", m->cfg->name, reason, then);
}

/* ---- clients ---- */

static void client_close(struct client *c)
{
	close(c->fd);
	free(c->out);
	memset(c, 0, sizeof(*c));
}

/* All places are taken: that of who has said nothing for the longest time. */
static void client_oust(struct manager *m)
{
	struct client *c, *idle = NULL;

	for (c = m->clients; c < m->clients + CLIENTS; c++) {
		if (c->state == CLIENT_FREE)
			return;
		if (c->state == CLIENT_COMMAND && !c->out_len &&
		    (!idle || c->heard < idle->heard))
			idle = c;
	}
	if (idle)
		client_close(idle);
}

static struct client *client_add(struct manager *m, int fd)
{
	struct client *c;

	client_oust(m);
	for (c = m->clients; c < m->clients + CLIENTS; c++) {
		if (c->state != CLIENT_FREE)
			continue;
		c->state = CLIENT_COMMAND;
		c->fd = fd;
		c->heard = manager_ns();
		fcntl(fd, F_SETFL, O_NONBLOCK);
		return c;
	}
	close(fd);
	return NULL;
}

static void client_flush(struct client *c)
{
	size_t done = 0;
	ssize_t n;

	while (done < c->out_len) {
		/* It may be a pseudo-terminal; SIGPIPE is ignored. */
		n = write(c->fd, c->out + done, c->out_len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			client_close(c);
			return;
		}
		if (n < 0)
			break;
		done += (size_t)n;
	}
	memmove(c->out, c->out + done, c->out_len - done);
	c->out_len -= done;
	if (c->closing && !c->out_len)
		client_close(c);
}

/* What a client does not take in time is lost to it, whole writes. */
void client_send(struct client *c, const void *data, size_t len)
{
	size_t size;
	u8 *p;

	if (len > CLIENT_OUT - c->out_len)
		return;
	if (len > c->out_size - c->out_len) {
		size = MAX(2 * c->out_size, c->out_len + len);
		p = realloc(c->out, size);
		if (!p)
			return;
		c->out = p;
		c->out_size = size;
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
}

static void client_accept(struct manager *m)
{
	int fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		client_add(m, fd);
}

/* Lines out of the buffer; a console's bytes begin behind its command. */
static void client_lines(struct manager *m, struct client *c)
{
	char line[PROTO_LINE], *nl;
	size_t len;

	while (c->state == CLIENT_COMMAND &&
	       (nl = memchr(c->line, '\n', c->line_len))) {
		len = (size_t)(nl - c->line);
		memcpy(line, c->line, len);
		line[len] = 0;
		c->line_len -= len + 1;
		memmove(c->line, nl + 1, c->line_len);
		control_line(m, c, line);
	}
	if (c->line_len == sizeof(c->line))
		c->closing = true;	/* no command is that long */
}

/* What a console has sent behind its command, once it is its turn. */
static void console_first(struct manager *m, struct client *c)
{
	struct port *port = &m->port[c->port];

	if (c->state != CLIENT_CONSOLE || port->input_len)
		return;
	memcpy(port->input, c->line, c->line_len);
	port->input_len = c->line_len;
	c->line_len = 0;
}

static void client_read(struct manager *m, struct client *c)
{
	struct port *port = &m->port[c->port];
	char *to = c->line + c->line_len;
	size_t room = sizeof(c->line) - c->line_len;
	ssize_t n;

	if (c->state == CLIENT_CONSOLE) {
		to = (char *)port->input;
		room = sizeof(port->input);
	}
	n = read(c->fd, to, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		c->no_input = true;
		if ((c->state != CLIENT_CONSOLE && c->state != CLIENT_MEMORY) ||
		    n < 0)
			client_close(c);
		return;
	}
	if (c->state == CLIENT_CONSOLE) {
		port->input_len = (size_t)n;
		return;
	}
	c->line_len += (size_t)n;
	c->heard = manager_ns();
	client_lines(m, c);
	console_first(m, c);
}

/* ---- the serial line ---- */

static void history_add(struct port *p, const u8 *data, size_t len)
{
	size_t at, n;

	while (len) {
		at = (size_t)(p->history_total % HISTORY);
		n = MIN(len, HISTORY - at);
		memcpy(p->history + at, data, n);
		p->history_total += n;
		data += n;
		len -= n;
	}
}

/* What a file cannot take is lost to it; that is said once. */
static void file_add(struct manager *m, struct port *p, const u8 *data,
		     size_t len)
{
	const char *path = m->cfg->serial[p - m->port].path;
	ssize_t n;

	while (len && p->file >= 0) {
		n = write(p->file, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			report(m, path, ": cannot be written to any more");
			close(p->file);
			p->file = -1;
			return;
		}
		data += n;
		len -= (size_t)n;
	}
}

/* Is a client that must lose nothing behind? */
static bool output_blocked(struct manager *m, unsigned port)
{
	struct client *c;

	for (c = m->clients; c < m->clients + CLIENTS; c++)
		if (c->state == CLIENT_CONSOLE && c->lossless &&
		    c->port == port && c->out_len > CLIENT_OUT / 4)
			return true;
	return false;
}

/* Bytes the guest has written; false: there are none. */
static bool serial_read(struct manager *m, unsigned port)
{
	struct port *p = &m->port[port];
	struct client *c;
	u8 buf[4096];
	ssize_t n;

	if (p->fd < 0)
		return false;
	n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n <= 0)
		return false;
	history_add(p, buf, (size_t)n);
	file_add(m, p, buf, (size_t)n);
	for (c = m->clients; c < m->clients + CLIENTS; c++)
		if (c->state == CLIENT_CONSOLE && c->port == port)
			client_send(c, buf, (size_t)n);
	return true;
}

/* The machine's end of it is closed. */
static void serial_close(struct port *p)
{
	close(p->fd);
	p->fd = -1;
}

static void serial_write(struct port *p)
{
	ssize_t n;

	/* Nobody is there to type to, and poll() cannot wait for somebody. */
	if (p->fd < 0)
		p->input_len = 0;
	if (!p->input_len)
		return;
	n = send(p->fd, p->input, p->input_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return;
	p->input_len -= (size_t)n;
	memmove(p->input, p->input + n, p->input_len);
}

/* A connection to a port's own socket, or its pseudo-terminal. */
static void console_add(struct manager *m, unsigned port, int fd)
{
	struct client *c = client_add(m, fd);

	if (!c)
		return;
	c->state = CLIENT_CONSOLE;
	c->port = port;
}

static void serials_start(struct manager *m)
{
	const struct serial *s;
	struct port *p;
	unsigned i;

	for (i = 0; i < VM_PORTS; i++) {
		s = &m->cfg->serial[i];
		p = &m->port[i];
		p->fd = p->file = p->listener = -1;
		if (s->kind == SERIAL_FILE)
			p->file = s->fd;
		else if (s->kind == SERIAL_UNIX)
			p->listener = s->fd;
		else if (s->kind == SERIAL_PTY)
			console_add(m, i, s->fd);
	}
}

/* ---- the machine ---- */

static void machine_child(struct manager *m, int channel, const int *serial,
			  pid_t parent)
{
	struct machine_fds fds = { .vm = m->vm, .channel = channel };
	struct client *c;
	struct port *p;
	sigset_t none;

	/* The machine must not outlive what looks after it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (c = m->clients; c < m->clients + CLIENTS; c++)
		if (c->state != CLIENT_FREE)
			close(c->fd);
	for (p = m->port; p < m->port + VM_PORTS; p++) {
		fds.serial[p - m->port] = serial[p - m->port];
		close(p->file);
		close(p->listener);
	}
	close(m->control);
	close(m->listener);
	close(m->signals);
	machine_main(m->cfg, &fds);
}

/* Our end into its port, the machine's into *theirs; -1 where none is. */
static int serial_pair(struct manager *m, unsigned port, int *theirs)
{
	int pair[2];

	*theirs = m->port[port].fd = -1;
	m->port[port].input_len = 0;
	if (m->cfg->serial[port].kind == SERIAL_NONE)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	m->port[port].fd = pair[0];
	*theirs = pair[1];
	return 0;
}

static void close_any(int fd)
{
	if (fd >= 0)
		close(fd);
}

static int machine_spawn(struct manager *m)
{
	int ch[2] = { -1, -1 }, theirs[VM_PORTS];
	int err = storage_connect(m->cfg);
	pid_t parent = getpid();
	unsigned i;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ch) < 0)
		err = -errno;
	for (i = 0; i < VM_PORTS; i++)
		err = serial_pair(m, i, &theirs[i]) ?: err;
	m->pid = err ? -1 : fork();
	if (m->pid == 0) {
		close(ch[0]);
		for (i = 0; i < VM_PORTS; i++)
			close_any(m->port[i].fd);
		machine_child(m, ch[1], theirs, parent);
	}
	if (m->pid < 0) {
		err = err ?: -errno;
		m->pid = 0;
	}
	m->pidfd = m->pid ? pidfd_open(m->pid, 0) : -1;
	if (m->pid && m->pidfd < 0) {
		err = -errno;
		kill(m->pid, SIGKILL);
		waitpid(m->pid, NULL, 0);
		m->pid = 0;
	}
	close_any(ch[1]);
	for (i = 0; i < VM_PORTS; i++)
		close_any(theirs[i]);
	storage_disconnect(m->cfg);
	m->channel = ch[0];
	m->ready = m->paused = false;
	m->unpauses = 0;
	m->why_paused[0] = 0;
	m->want_reset = m->want_stop = m->preserved = false;
	m->restart_at = 0;
	m->boots++;
	return err;
}

static void vm_ended(struct manager *m, int code)
{
	m->ended = true;
	m->exit_code = code;
}

/* Who waits for the guest's end has it; the VM goes on without a machine. */
static void vm_preserve(struct manager *m, int code)
{
	struct client *c;

	m->preserved = true;
	m->exit_code = code;
	for (c = m->clients; c < m->clients + CLIENTS; c++)
		if (c->state == CLIENT_WAIT) {
			c->state = CLIENT_COMMAND;
			control_ended(m, c);
		}
}

static void last_words(struct manager *m, const struct msg *msg, int status)
{
	if (m->want_kill)
		snprintf(m->reason, sizeof(m->reason), "%s", m->why_kill);
	else if (m->want_reset)
		snprintf(m->reason, sizeof(m->reason), "reset by the operator");
	else if (msg->how)
		snprintf(m->reason, sizeof(m->reason), "%s", msg->text);
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		snprintf(m->reason, sizeof(m->reason), "the device process "
			 "made a system call that its sandbox forbids, and was "
			 "killed");
	else if (WIFSIGNALED(status))
		snprintf(m->reason, sizeof(m->reason), "the device process "
			 "died of signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(m->reason, sizeof(m->reason), "the device process "
			 "ended by itself (status %d)", WEXITSTATUS(status));
}

static void decide(struct manager *m, const struct msg *msg, int status)
{
	const struct ending e = {
		.how = msg->how, .value = msg->value, .ready = m->ready,
		.want_kill = m->want_kill, .want_reset = m->want_reset,
		.want_stop = m->want_stop,
	};
	struct outcome o = policy_decide(m->cfg, &e);

	last_words(m, msg, status);
	switch (o.verdict) {
	case VERDICT_END:
		if (o.code != EXIT_OK && !(o.code & 1))
			report(m, m->reason, "");
		vm_ended(m, o.code);
		break;
	case VERDICT_REBOOT:
		m->restart_at = policy_restart_at(&m->restarts, manager_ns());
		break;
	case VERDICT_RESTART:
		report(m, m->reason, "; restarting");
		m->restart_at = policy_restart_at(&m->restarts, manager_ns());
		break;
	case VERDICT_PRESERVE:
		report(m, m->reason, "; preserved");
		vm_preserve(m, o.code);
		break;
	}
}

/* What the machine knows about memory, for all who have asked. */
static void memory_answers(struct manager *m, const struct balloon_state *s)
{
	struct client *c;

	for (c = m->clients; c < m->clients + CLIENTS; c++) {
		if (c->state != CLIENT_MEMORY)
			continue;
		c->state = CLIENT_COMMAND;
		control_memory(m, c, s);
		client_lines(m, c);
		c->closing |= c->no_input && c->state == CLIENT_COMMAND;
	}
}

/*
 * Nothing more is to be expected of it.  It may not go on its own, and even
 * when killed it may take time, with a thread in a disk that hangs.
 */
static void machine_finish(struct manager *m, const struct msg *last)
{
	const struct balloon_state none = { 0 };

	m->last = *last;
	kill(m->pid, SIGKILL);
	close(m->channel);
	m->channel = -1;
	memory_answers(m, &none);
}

static void drop_stdio(void)
{
	int fd = open("/dev/null", O_RDWR);

	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static void report_ready(struct manager *m, int fd)
{
	if (fd >= 0 && write(fd, "", 1) < 0)
		warn_msg("%s: cannot report the start: %s", m->cfg->name,
			 strerror(errno));
	if (m->quiet)
		drop_stdio();
}

/* What it dies of is said when it has died. */
static void disk_lost(struct manager *m, const struct msg *msg)
{
	char text[MSG_TEXT];

	if (msg->value >= m->cfg->disks)
		return;
	if (msg->how) {
		snprintf(text, sizeof(text), "disk %s: qemu-storage-daemon has "
			 "broken the rules of vhost-user",
			 m->cfg->disk[msg->value].path);
		report(m, text, "");
	}
	storage_kill(m->cfg, msg->value);
}

/* A pause that the operator has ended meanwhile is none: it tries again. */
static void disk_error(struct manager *m, const struct msg *msg)
{
	static const char *const kinds[] = {
		[IO_READ] = "reading", [IO_WRITE] = "writing",
		[IO_SYNC] = "flushing", [IO_DISCARD] = "discarding",
		[IO_ZERO] = "writing zeros", [IO_ZERO_FREE] = "writing zeros",
	};
	const struct disk_error *e = &msg->disk_error;
	bool pauses = msg->how && !m->paused && e->unpauses == m->unpauses;
	struct disk_state *d = &m->disk[msg->value % VM_DISKS];
	u64 now = manager_ns();
	char text[MSG_TEXT];

	if (msg->value >= m->cfg->disks || e->kind >= ARRAY_SIZE(kinds))
		return;
	d->errors++;
	if (!pauses && d->told && now - d->told < ERROR_NS)
		return;
	d->told = now;
	snprintf(text, sizeof(text), "disk %s: %s at byte %llu: %s",
		 m->cfg->disk[msg->value].path, kinds[e->kind],
		 (unsigned long long)e->offset, strerror((int)e->error));
	if (pauses) {
		m->paused = true;
		memcpy(m->why_paused, text, sizeof(text));
	}
	report(m, text, pauses ? "; paused: unpause tries again" : "");
}

/*
 * A machine may have been taken over, and its text goes to terminals and logs:
 * what is no character for them, C1 among it, is none of it, nor is what would
 * not be UTF-8 in an answer.
 */
static void make_plain(char *text)
{
	json_t *utf8 = json_string(text);
	u8 *p;

	for (p = (u8 *)text; *p; p++) {
		if (*p < ' ' || *p == 0x7f || (*p > 0x7f && !utf8))
			*p = '?';
		else if (*p == 0xc2 && p[1] < 0xa0)
			p[0] = p[1] = '?';
	}
	json_decref(utf8);
}

/* One message, if there is one; false: none. */
static bool machine_message(struct manager *m, int ready)
{
	const struct msg none = { 0 };
	struct msg msg;
	ssize_t n;

	if (m->channel < 0)
		return false;
	n = recv(m->channel, &msg, sizeof(msg), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n != sizeof(msg)) {
		machine_finish(m, &none);
		return false;
	}
	msg.text[MSG_TEXT - 1] = 0;
	make_plain(msg.text);
	if (msg.kind == MSG_END) {
		machine_finish(m, &msg);
	} else if (msg.kind == MSG_MEMORY) {
		memory_answers(m, &msg.balloon);
	} else if (msg.kind == MSG_DISK_LOST) {
		disk_lost(m, &msg);
	} else if (msg.kind == MSG_DISK_ERROR) {
		disk_error(m, &msg);
	} else if (msg.kind == MSG_READY && !m->ready) {
		m->ready = true;
		if (m->boots == 1 && *msg.text)
			report(m, msg.text, "");
		if (m->boots == 1)
			report_ready(m, ready);
	}
	return true;
}

/* It is no more: collect it and its last words. */
static void machine_reap(struct manager *m, int ready)
{
	const struct msg none = { 0 };
	int status = 0;
	unsigned i;

	while (machine_message(m, ready))
		;
	if (m->channel >= 0)
		machine_finish(m, &none);
	while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
		;
	for (i = 0; i < VM_PORTS; i++) {
		while (serial_read(m, i))
			;
		close_any(m->port[i].fd);
		m->port[i].fd = -1;
	}
	close(m->pidfd);
	m->pid = 0;
	decide(m, &m->last, status);
}

/* ---- what commands do ---- */

void manager_kill(struct manager *m, const char *why)
{
	m->want_kill = true;
	m->why_kill = why;
	if (m->pid) {
		kill(m->pid, SIGKILL);	/* machine_reap() comes of it */
		return;
	}
	/* What has been preserved has ended before, in its own way. */
	if (!m->preserved) {
		snprintf(m->reason, sizeof(m->reason), "%s", why);
		m->exit_code = EXIT_KILLED;
	}
	vm_ended(m, m->exit_code);
}

bool manager_stop(struct manager *m, const char *why)
{
	if (!m->pid) {
		manager_kill(m, why);
		return true;
	}
	/* One that is at its end, or does not listen, ends in another way. */
	m->want_stop = true;
	manager_tell(m, MSG_POWER_BUTTON, 0);
	return false;
}

void manager_reset(struct manager *m)
{
	m->want_reset = true;
	if (m->pid)
		kill(m->pid, SIGKILL);
	else if (m->preserved)
		m->restart_at = manager_ns();
}

int manager_tell(struct manager *m, enum msg_kind kind, u32 value)
{
	struct msg msg = { .kind = kind, .value = value };

	if (!m->pid || m->channel < 0)
		return -EAGAIN;
	return send(m->channel, &msg, sizeof(msg),
		    MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int manager_send(struct manager *m, enum msg_kind kind)
{
	u32 value = kind == MSG_UNPAUSE ? m->unpauses + 1 : 0;
	int err = manager_tell(m, kind, value);

	if (err)
		return err;
	if (kind == MSG_PAUSE)
		m->paused = true;
	if (kind == MSG_UNPAUSE) {
		m->paused = false;
		m->unpauses = value;
		m->why_paused[0] = 0;
	}
	return 0;
}

/*
 * SIGUSR1: who started us leaves, and the VM is to go on.  That its console
 * is closed tells it that we no longer die with it.
 */
static void release(struct manager *m)
{
	struct client *c;

	prctl(PR_SET_PDEATHSIG, 0);
	m->quiet = true;
	drop_stdio();
	for (c = m->clients; c < m->clients + CLIENTS; c++)
		if (c->lossless)
			client_close(c);
}

static const char by_signal[] = "ended by a signal";

/*
 * SIGTERM and SIGHUP: the system goes down, say, and the guest is to have the
 * time to do so.  systemd sends both to all of a session, and joistctl run
 * hands on what it gets: what comes at once counts as one.
 */
static void hang_up(struct manager *m)
{
	u64 now = manager_ns();

	if (m->kill_at && now - m->hung_up > HANG_UP_NS) {
		manager_kill(m, by_signal);
	} else if (!m->kill_at && !manager_stop(m, by_signal)) {
		m->hung_up = now;
		m->kill_at = now + m->cfg->stop_timeout * NS;
	}
}

static void serve_signal(struct manager *m)
{
	struct signalfd_siginfo si;

	if (read(m->signals, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGUSR1)
		release(m);
	else if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGHUP)
		hang_up(m);
	else
		manager_kill(m, by_signal);
}

/* ---- the loop ---- */

enum {
	POLL_CHANNEL, POLL_MACHINE, POLL_LISTENER, POLL_SIGNALS, POLL_SERIAL,
	POLL_SOCKET = POLL_SERIAL + VM_PORTS,
	POLL_DISKS = POLL_SOCKET + VM_PORTS,
	POLL_NETS = POLL_DISKS + VM_DISKS,
	POLL_CLIENTS = POLL_NETS + VM_NICS
};

/* Input of a console has to wait for room at the guest. */
static bool input_blocked(const struct manager *m, const struct client *c)
{
	return c->state == CLIENT_CONSOLE && !c->no_input &&
	       (m->port[c->port].input_len || c->line_len);
}

static short client_events(struct manager *m, const struct client *c)
{
	bool in = !c->no_input && !c->closing &&
		  c->line_len < sizeof(c->line) && !input_blocked(m, c);

	return (short)((in ? POLLIN : 0) | (c->out_len ? POLLOUT : 0));
}

static void poll_fill(struct manager *m, struct pollfd *p)
{
	unsigned i;

	p[POLL_CHANNEL] = (struct pollfd){ m->pid ? m->channel : -1, POLLIN, 0 };
	p[POLL_MACHINE] = (struct pollfd){ m->pid ? m->pidfd : -1, POLLIN, 0 };
	for (i = 0; i < VM_PORTS; i++) {
		const struct port *port = &m->port[i];

		p[POLL_SERIAL + i] = (struct pollfd){ port->fd, 0, 0 };
		if (!output_blocked(m, i))
			p[POLL_SERIAL + i].events |= POLLIN;
		if (port->input_len)
			p[POLL_SERIAL + i].events |= POLLOUT;
		p[POLL_SOCKET + i] = (struct pollfd){
			port->listener, POLLIN, 0 };
	}
	p[POLL_LISTENER] = (struct pollfd){ m->listener, POLLIN, 0 };
	p[POLL_SIGNALS] = (struct pollfd){ m->signals, POLLIN, 0 };
	for (i = 0; i < VM_DISKS; i++)
		p[POLL_DISKS + i] = (struct pollfd){ storage_fd(i), POLLIN, 0 };
	for (i = 0; i < VM_NICS; i++)
		p[POLL_NETS + i] = (struct pollfd){ user_net_fd(i), POLLIN, 0 };
	for (i = 0; i < CLIENTS; i++) {
		const struct client *c = &m->clients[i];
		short events = client_events(m, c);

		p[POLL_CLIENTS + i] = (struct pollfd){ -1, 0, 0 };
		/* POLLHUP comes unasked for, and is not to be acted upon while
		 * there is input of it to take. */
		if (c->state != CLIENT_FREE && (events || !input_blocked(m, c)))
			p[POLL_CLIENTS + i] = (struct pollfd){
				c->fd, events, 0 };
	}
}

static void serve_clients(struct manager *m, const struct pollfd *p)
{
	struct client *c;
	unsigned i;

	for (i = 0; i < CLIENTS; i++) {
		c = &m->clients[i];
		if (c->state == CLIENT_FREE || c->fd != p[i].fd)
			continue;
		if (p[i].revents & POLLERR)
			client_close(c);
		else if ((p[i].revents & (POLLIN | POLLHUP)) &&
			 !input_blocked(m, c) && !c->no_input)
			client_read(m, c);
		else if ((p[i].revents & POLLHUP) && c->no_input)
			client_close(c);
	}
	for (c = m->clients; c < m->clients + CLIENTS; c++)
		if (c->state != CLIENT_FREE && (c->out_len || c->closing))
			client_flush(c);
	for (c = m->clients; c < m->clients + CLIENTS; c++)
		console_first(m, c);
}

static void serve_serials(struct manager *m, const struct pollfd *p)
{
	unsigned i;
	int fd;

	for (i = 0; i < VM_PORTS; i++) {
		if (p[POLL_SERIAL + i].revents & POLLIN)
			serial_read(m, i);
		else if (p[POLL_SERIAL + i].events & POLLIN &&
			 p[POLL_SERIAL + i].revents & (POLLHUP | POLLERR))
			serial_close(&m->port[i]);
		if (p[POLL_SERIAL + i].revents & POLLOUT)
			serial_write(&m->port[i]);
		if (!p[POLL_SOCKET + i].revents)
			continue;
		fd = accept4(m->port[i].listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			console_add(m, i, fd);
	}
}

static void serve_helpers(struct manager *m, const struct pollfd *p)
{
	char text[MSG_TEXT];
	unsigned i;

	for (i = 0; i < VM_DISKS; i++) {
		if (!p[POLL_DISKS + i].revents ||
		    !storage_event(m->cfg, i, text, sizeof(text)))
			continue;
		report(m, text, "");
		if (storage_fd(i) < 0)
			manager_tell(m, MSG_DISK_GONE, i);
	}
	for (i = 0; i < VM_NICS; i++)
		if (p[POLL_NETS + i].revents &&
		    user_net_event(i, text, sizeof(text)))
			report(m, text, "");
}

/* Until then, for poll(); 0: never. */
static int until_ms(u64 at)
{
	u64 now = manager_ns();

	if (!at)
		return -1;
	return at <= now ? 0 : (int)((at - now) / 1000000 + 1);
}

static u64 next_due(const struct manager *m)
{
	if (m->restart_at && m->kill_at)
		return MIN(m->restart_at, m->kill_at);
	return m->restart_at | m->kill_at;
}

static void restart(struct manager *m)
{
	int err = machine_spawn(m);

	if (!err)
		return;
	snprintf(m->reason, sizeof(m->reason),
		 "cannot start the device process: %s", strerror(-err));
	report(m, m->reason, "");
	vm_ended(m, EXIT_FAIL);
}

/* Wait for what happens next, and do what is due. */
static void turn(struct manager *m, int ready)
{
	struct pollfd p[POLL_CLIENTS + CLIENTS];
	unsigned i;

	if (until_ms(m->kill_at) == 0) {
		m->kill_at = 0;
		manager_kill(m, by_signal);
		return;
	}
	if (until_ms(m->restart_at) == 0) {
		restart(m);
		return;
	}
	poll_fill(m, p);
	if (poll(p, ARRAY_SIZE(p), until_ms(next_due(m))) < 0)
		return;
	serve_serials(m, p);
	if (p[POLL_CHANNEL].revents)
		machine_message(m, ready);
	if (p[POLL_MACHINE].revents)
		machine_reap(m, ready);
	if (p[POLL_SIGNALS].revents)
		serve_signal(m);
	serve_helpers(m, p);
	serve_clients(m, p + POLL_CLIENTS);
	for (i = 0; i < VM_PORTS; i++)
		serial_write(&m->port[i]);
	if (p[POLL_LISTENER].revents)
		client_accept(m);
}

/* Answers for those who wait, and time to take the last output. */
static void farewell(struct manager *m)
{
	struct pollfd p[CLIENTS];
	u64 now = manager_ns(), end = now;
	struct client *c;
	unsigned i;

	for (c = m->clients; c < m->clients + CLIENTS; c++) {
		if (c->state == CLIENT_WAIT)
			control_ended(m, c);
		if (c->state == CLIENT_FREE || !c->out_len)
			continue;
		end = MAX(end, now + 1000000ull *
			  (c->lossless ? LAST_ATTACH_MS : LAST_MS));
		c->closing = true;
		client_flush(c);
	}
	for (; manager_ns() < end; poll(p, CLIENTS, 100)) {
		bool any = false;

		for (i = 0; i < CLIENTS; i++) {
			c = &m->clients[i];
			p[i] = (struct pollfd){ -1, POLLOUT, 0 };
			if (c->state == CLIENT_FREE || !c->out_len)
				continue;
			client_flush(c);
			any |= c->out_len != 0;
			p[i].fd = c->out_len ? c->fd : -1;
		}
		if (!any)
			break;
	}
}

/* ---- start and end ---- */

static void destroy_vm(const struct manager *m)
{
	struct joist_destroy d = { 0 };

	snprintf(d.name, sizeof(d.name), "%s", m->cfg->name);
	hv_call(m->control, JOIST_DESTROY, &d);
}

static void create_vm(struct manager *m)
{
	struct joist_create a = { .vcpus = m->cfg->vcpus };
	const char *name = m->cfg->name;
	int err;

	snprintf(a.name, sizeof(a.name), "%s", name);
	err = hv_call(m->control, JOIST_CREATE, &a);
	if (err == -EEXIST)
		die("%s: a VM of that name is there already", name);
	if (err == -ENOSPC)
		die("%s: there are as many VMs as there can be", name);
	if (err == -ENOMEM)
		die("%s: the pool has no memory left", name);
	if (err < 0)
		die("%s: creating the VM: %s", name, strerror(-err));
	m->vm = hv_open_vm(name);
	if (m->vm < 0)
		die("%s: %s/%s: %s", name, JOIST_VM_DIR, name,
		    strerror(-m->vm));
}

static void alloc_memory(struct manager *m, u32 seg, u64 gpa, u64 size)
{
	struct joist_memseg a = { .seg = seg, .gpa = gpa, .size = size };
	int err;

	if (!size)
		return;
	err = hv_call(m->vm, JOIST_MEMSEG_ALLOC, &a);
	if (err == -ENOMEM)
		die("%s: not enough memory in the pool for %llu MiB",
		    m->cfg->name, (unsigned long long)(m->cfg->memory / MiB));
	if (err < 0)
		die("%s: allocating %llu MiB: %s", m->cfg->name,
		    (unsigned long long)(m->cfg->memory / MiB),
		    strerror(-err));
}

/* Memory that the guest only reads. */
static void alloc_rom(struct manager *m, u32 seg, u64 gpa, u64 size)
{
	struct joist_memseg a = { .seg = seg, .flags = JOIST_SEG_READ };
	int err;

	if (!size)
		return;
	alloc_memory(m, seg, gpa, size);
	err = hv_call(m->vm, JOIST_MEMSEG_PROTECT, &a);
	if (err < 0)
		die("%s: firmware memory: %s", m->cfg->name, strerror(-err));
}

static char socket_path[PROTO_PATH];

static void socket_remove(void)
{
	unlink(socket_path);
}

/*
 * Who may open the control device may use the sockets: their group is that of the
 * folder.  Others may write to it, so nothing is done there by name that follows
 * links.
 */
static void open_socket(struct manager *m)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int err = proto_make_dir();
	mode_t mask;

	if (err < 0)
		die("%s: cannot create: %s", PROTO_DIR, strerror(-err));
	proto_path(sa.sun_path, m->cfg->name);
	memcpy(socket_path, sa.sun_path, sizeof(socket_path));
	/* The name is ours since the VM was created: a file is a leftover. */
	unlink(sa.sun_path);
	m->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(0117);
	if (m->listener < 0 ||
	    bind(m->listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(m->listener, CLIENTS) < 0)
		die("%s: %s: %s", m->cfg->name, sa.sun_path, strerror(errno));
	umask(mask);
}

static void open_signals(struct manager *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	m->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (m->signals < 0)
		die("signalfd: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
}

/*
 * Names, who has the guest's memory, and then the VM: a daemon that its memory
 * is taken from dies of it, and could not close its image.
 */
static void outside_close(const struct manager *m)
{
	socket_remove();
	serials_close(m->cfg);
	storage_close(m->cfg);
	destroy_vm(m);
	user_net_close();
}

int manager_main(const struct manager_args *args)
{
	struct manager *m = &manager;
	struct vm_config *cfg = args->cfg;
	char error[MSG_TEXT];
	struct client *c;
	int err;

	m->cfg = cfg;
	m->control = args->control;
	m->quiet = args->quiet;
	m->started = manager_ns();
	open_signals(m);
	create_vm(m);
	speculation_guard(m->control);
	alloc_memory(m, SEG_LOW, 0, vm_low_size(cfg));
	alloc_memory(m, SEG_HIGH, MEM_HIGH_BASE, vm_high_size(cfg));
	alloc_rom(m, SEG_FLASH, FIRMWARE_END - cfg->firmware_size,
		  cfg->firmware_size);
	alloc_rom(m, SEG_VARS, FIRMWARE_END - cfg->firmware_size -
		  cfg->vars_size, cfg->vars_size);
	open_socket(m);
	serials_start(m);
	if (!storage_open(cfg, error, sizeof(error)) ||
	    !user_net_start(cfg, error, sizeof(error))) {
		outside_close(m);
		die("%s", error);
	}
	if (args->attach >= 0) {
		c = client_add(m, args->attach);
		c->state = CLIENT_CONSOLE;
		c->lossless = true;
	}
	err = machine_spawn(m);
	if (err) {
		outside_close(m);
		die("%s: starting the device process: %s", cfg->name,
		    strerror(-err));
	}
	while (!m->ended)
		turn(m, args->ready);
	outside_close(m);
	farewell(m);
	return m->exit_code;
}
