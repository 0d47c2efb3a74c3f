/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vm_manager.c -- the manager's loop, one turn at a time, with machines
 * that are processes of this test, and nothing of the hypervisor.
 */
#define _GNU_SOURCE
#include <sys/eventfd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "guests/control/joist-vm/manager.c"
#include "guests/control/joist-vm/control.c"
#include "guests/control/joist-vm/policy.c"

/* ---- what the manager finds around it ---- */

const char *err_prog = "test", *err_where;

void warn_msg(const char *fmt, ...) { (void)fmt; }
void die(const char *fmt, ...) { fail_msg("die: %s", fmt); abort(); }
int hv_call(int fd, unsigned long request, void *block)
{
	(void)fd, (void)request, (void)block;
	return 0;
}
int hv_open_vm(const char *name) { (void)name; return -ENOENT; }
int hv_find(int control, const char *name, struct joist_info *info)
{
	(void)control, (void)name, (void)info;
	return -ENOENT;
}
int proto_make_dir(void) { return -EPERM; }
void proto_path(char path[PROTO_PATH], const char *name)
{
	snprintf(path, PROTO_PATH, "%s", name);
}
void speculation_guard(int control) { (void)control; }
void serials_close(const struct vm_config *c) { (void)c; }
bool storage_open(struct vm_config *c, char *e, size_t n)
{
	(void)c, (void)e, (void)n;
	return true;
}
int storage_connect(struct vm_config *c) { (void)c; return 0; }
void storage_disconnect(struct vm_config *c) { (void)c; }
void storage_kill(const struct vm_config *c, unsigned i) { (void)c, (void)i; }
int storage_fd(unsigned i) { (void)i; return -1; }
bool storage_event(const struct vm_config *c, unsigned i, char *t, size_t n)
{
	(void)c, (void)i, (void)t, (void)n;
	return false;
}
void storage_close(struct vm_config *c) { (void)c; }
bool user_net_start(struct vm_config *c, char *e, size_t n)
{
	(void)c, (void)e, (void)n;
	return true;
}
int user_net_fd(unsigned i) { (void)i; return -1; }
bool user_net_event(unsigned i, char *t, size_t n)
{
	(void)i, (void)t, (void)n;
	return false;
}
void user_net_close(void) { }

/* ---- a machine ---- */

static void say(const struct machine_fds *fds, enum msg_kind kind,
		enum vm_end how, const char *text)
{
	struct msg msg = { .kind = kind, .how = how };

	snprintf(msg.text, sizeof(msg.text), "%s", text);
	if (send(fds->channel, &msg, sizeof(msg), 0) != sizeof(msg))
		_exit(1);
}

static void stay(void)
{
	for (;;)
		pause();
}

static void (*machine_does)(const struct machine_fds *fds);

void machine_main(const struct vm_config *c, const struct machine_fds *fds)
{
	(void)c;
	machine_does(fds);
	_exit(0);
}

static void runs(const struct machine_fds *fds)
{
	say(fds, MSG_READY, 0, "");
	stay();
}

static void powers_off_and_stays(const struct machine_fds *fds)
{
	say(fds, MSG_READY, 0, "");
	say(fds, MSG_END, END_POWER_OFF, "off");
	stay();
}

static void crashes(const struct machine_fds *fds)
{
	say(fds, MSG_READY, 0, "");
	say(fds, MSG_END, END_CRASH, "triple fault");
}

/* ---- the manager under test ---- */

static struct vm_config cfg;
static struct manager *const m = &manager;

static void begin(void (*does)(const struct machine_fds *fds))
{
	cfg = (struct vm_config){
		.name = "test", .shown = "{}", .vcpus = 1,
		.serial[0] = { .kind = SERIAL_CONSOLE, .fd = -1 },
	};
	memset(m, 0, sizeof(*m));
	m->cfg = &cfg;
	m->listener = m->signals = -1;
	m->control = dup(STDIN_FILENO);
	m->vm = -1;
	serials_start(m);
	machine_does = does;
	assert_int_equal(machine_spawn(m), 0);
}

static int end(void **state)
{
	struct client *c;

	(void)state;
	if (m->pid) {
		kill(m->pid, SIGKILL);
		waitpid(m->pid, NULL, 0);
	}
	for (c = m->clients; c < m->clients + CLIENTS; c++)
		if (c->state != CLIENT_FREE)
			client_close(c);
	return 0;
}

/* A client's own end of its connection. */
static int client(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    pair), 0);
	client_add(m, pair[0]);
	return pair[1];
}

static void send_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL),
			 strlen(text));
}

/* The next line for it, while the manager does its work. */
static const char *line_of(int fd)
{
	static char line[4096];
	size_t n = 0;

	while (n < sizeof(line) - 1) {
		if (recv(fd, line + n, 1, MSG_DONTWAIT) == 1) {
			if (line[n++] == '\n')
				break;
			continue;
		}
		/* One that has ended says goodbye outside of its loop. */
		if (m->ended)
			farewell(m);
		else
			turn(m, -1);
	}
	line[n] = 0;
	return line;
}

static const char *answer(int fd, const char *cmd)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"cmd\": \"%s\"}\n", cmd);
	send_text(fd, text);
	return line_of(fd);
}

static void expect_in(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no '%s' in: %s", part, text);
}

static void until_ready(void)
{
	while (!m->ready)
		turn(m, -1);
}

static void until_ended(void)
{
	while (!m->ended)
		turn(m, -1);
}

/* A machine that has said its last word does not get to stay. */
static void end_and_stay(void **state)
{
	(void)state;
	begin(powers_off_and_stays);
	until_ended();
	assert_int_equal(m->pid, 0);
	assert_int_equal(m->exit_code, EXIT_OK);
	assert_string_equal(m->reason, "off");
}

/* One that cannot be killed, in a disk that hangs, does not silence it. */
static void end_and_cannot_die(void **state)
{
	struct msg last = { .kind = MSG_END, .how = END_POWER_OFF };
	int fd, zombie_watch;

	(void)state;
	begin(runs);
	until_ready();
	/* As if it were: its end is not seen. */
	zombie_watch = m->pidfd;
	m->pidfd = eventfd(0, EFD_CLOEXEC);
	machine_finish(m, &last);
	fd = client();
	expect_in(answer(fd, "status"), "\"ending\"");
	expect_in(answer(fd, "stop"), "\"ok\":true");
	expect_in(answer(fd, "kill"), "\"ok\":true");
	assert_false(m->ended);
	close(m->pidfd);
	m->pidfd = zombie_watch;
	until_ended();
	assert_int_equal(m->exit_code, EXIT_KILLED);
	close(fd);
}

static void dies_without_a_word(void **state)
{
	(void)state;
	begin(runs);
	until_ready();
	kill(m->pid, SIGUSR2);
	until_ended();
	assert_int_equal(m->exit_code, EXIT_DEVICE);
	expect_in(m->reason, "signal");
}

/* What was said right before the end is neither lost nor misread. */
static void crash_is_told(void **state)
{
	int fd;

	(void)state;
	begin(crashes);
	fd = client();
	expect_in(answer(fd, "wait"), "\"exit\":4");
	assert_string_equal(m->reason, "triple fault");
	close(fd);
}

/* It crashes each time: a stop between two boots is its end. */
static void stop_in_crash_loop(void **state)
{
	int fd;

	(void)state;
	begin(crashes);
	cfg.on_crash = POLICY_RESTART;
	while (m->boots < 3 || !m->restart_at)
		turn(m, -1);
	fd = client();
	/* The next boot is far off. */
	m->restart_at += 3600 * NS;
	expect_in(answer(fd, "stop"), "\"ended\":true");
	assert_true(m->ended);
	assert_int_equal(m->exit_code, EXIT_KILLED);
	close(fd);
}

/* So is one while it boots. */
static void stop_before_crash(void **state)
{
	int fd;

	(void)state;
	begin(runs);
	cfg.on_crash = POLICY_RESTART;
	until_ready();
	fd = client();
	expect_in(answer(fd, "stop"), "\"ok\":true");
	assert_false(m->ended);
	kill(m->pid, SIGUSR2);
	until_ended();
	assert_int_equal(m->boots, 1);
	close(fd);
}

/* ---- signals ---- */

static void listens(const struct machine_fds *fds)
{
	struct msg msg;

	say(fds, MSG_READY, 0, "");
	while (recv(fds->channel, &msg, sizeof(msg), 0) == sizeof(msg))
		if (msg.kind == MSG_POWER_BUTTON)
			say(fds, MSG_END, END_POWER_OFF, "off");
}

/* As systemd does it: both at once, and the guest has its time. */
static void button_by_signal(void **state)
{
	(void)state;
	begin(listens);
	cfg.stop_timeout = 3600;
	open_signals(m);
	until_ready();
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGHUP);
	until_ended();
	assert_int_equal(m->exit_code, EXIT_OK);
}

static void plug_by_signals(void **state)
{
	(void)state;
	begin(runs);
	cfg.stop_timeout = 3600;
	open_signals(m);
	until_ready();
	kill(getpid(), SIGTERM);
	while (!m->kill_at)
		turn(m, -1);
	assert_false(m->want_kill);
	m->hung_up -= 2 * NS;
	kill(getpid(), SIGTERM);
	until_ended();
	assert_int_equal(m->exit_code, EXIT_KILLED);
}

static void plug_after_time(void **state)
{
	(void)state;
	begin(runs);
	cfg.stop_timeout = 0;
	open_signals(m);
	until_ready();
	kill(getpid(), SIGHUP);
	until_ended();
	assert_int_equal(m->exit_code, EXIT_KILLED);
}

/* ---- consoles ---- */

/* Does the manager wait, or spin?  It must not be woken now. */
static void expect_rest(void)
{
	struct pollfd p[POLL_CLIENTS + CLIENTS];

	poll_fill(m, p);
	assert_int_equal(poll(p, ARRAY_SIZE(p), 0), 0);
}

static void console_of_preserved(void **state)
{
	int fd;

	(void)state;
	begin(crashes);
	cfg.on_crash = POLICY_PRESERVE;
	while (!m->preserved)
		turn(m, -1);
	fd = client();
	expect_in(answer(fd, "console"), "\"ok\":true");
	send_text(fd, "x");
	close(fd);
	while (m->clients[0].state != CLIENT_FREE)
		turn(m, -1);
	expect_rest();
}

/* A guest that does not read, and a client that is gone. */
static void console_of_deaf(void **state)
{
	static char much[4096];
	int fd, i;

	(void)state;
	begin(runs);
	until_ready();
	fd = client();
	expect_in(answer(fd, "console"), "\"ok\":true");
	memset(much, 'x', sizeof(much));
	for (i = 0; i < 1000 && !m->port[0].input_len; i++) {
		send(fd, much, sizeof(much), MSG_DONTWAIT);
		turn(m, -1);
	}
	assert_true(m->port[0].input_len > 0);
	send(fd, much, sizeof(much), MSG_DONTWAIT);
	close(fd);
	expect_rest();
}

/* Two at one port: what one sends does not take the other's place. */
static void two_consoles(void **state)
{
	char got[8] = "";
	int a, b;
	size_t n = 0;

	(void)state;
	begin(runs);
	until_ready();
	/* A guest that has not read yet. */
	memcpy(m->port[0].input, "abc", 3);
	m->port[0].input_len = 3;
	a = client();
	b = client();
	send_text(a, "{\"cmd\": \"console\"}\nde");
	send_text(b, "{\"cmd\": \"console\"}\nf");
	client_read(m, &m->clients[0]);
	client_read(m, &m->clients[1]);
	assert_memory_equal(m->port[0].input, "abc", 3);
	assert_int_equal(m->port[0].input_len, 3);
	while (n < 6) {
		size_t len = m->port[0].input_len;

		assert_in_range(n + len, 1, 6);
		memcpy(got + n, m->port[0].input, len);
		n += len;
		m->port[0].input_len = 0;
		console_first(m, &m->clients[0]);
		console_first(m, &m->clients[1]);
	}
	assert_string_equal(got, "abcdef");
	close(a);
	close(b);
}

/* The 65th is served: one that says nothing gives way. */
static void many_clients(void **state)
{
	int fd[CLIENTS + 1], i;

	(void)state;
	begin(runs);
	until_ready();
	for (i = 0; i < CLIENTS; i++)
		fd[i] = client();
	expect_in(answer(fd[0], "status"), "running");
	fd[CLIENTS] = client();
	expect_in(answer(fd[CLIENTS], "status"), "running");
	expect_in(answer(fd[0], "status"), "running");
	for (i = 0; i <= CLIENTS; i++)
		close(fd[i]);
}

static void curses(const struct machine_fds *fds)
{
	say(fds, MSG_END, END_CRASH,
	    "a\nb\033[2J\x7f \xc3\xa9 \xc2\x9b" "2J");
}

static void lies(const struct machine_fds *fds)
{
	say(fds, MSG_END, END_CRASH, "a\xff\xc3\xa9");
}

static void words_are_plain(void **state)
{
	(void)state;
	begin(curses);
	until_ended();
	assert_string_equal(m->reason, "a?b?[2J? \xc3\xa9 ??2J");
	begin(lies);
	until_ended();
	assert_string_equal(m->reason, "a???");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(end_and_stay, end),
		cmocka_unit_test_teardown(end_and_cannot_die, end),
		cmocka_unit_test_teardown(dies_without_a_word, end),
		cmocka_unit_test_teardown(crash_is_told, end),
		cmocka_unit_test_teardown(stop_in_crash_loop, end),
		cmocka_unit_test_teardown(stop_before_crash, end),
		cmocka_unit_test_teardown(button_by_signal, end),
		cmocka_unit_test_teardown(plug_by_signals, end),
		cmocka_unit_test_teardown(plug_after_time, end),
		cmocka_unit_test_teardown(console_of_preserved, end),
		cmocka_unit_test_teardown(console_of_deaf, end),
		cmocka_unit_test_teardown(two_consoles, end),
		cmocka_unit_test_teardown(many_clients, end),
		cmocka_unit_test_teardown(words_are_plain, end),
	};

	signal(SIGPIPE, SIG_IGN);
	/* What waits for ever fails. */
	alarm(30);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
