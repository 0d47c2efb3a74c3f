/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c -- this terminal on a VM's serial line.
 *
 * On a terminal every key goes to the guest, but for "~." after a newline,
 * which leaves, and "~~", which sends one "~".  Without one standard input
 * goes in as it is, and its end is not the console's end.  Who only watches
 * sends nothing, but can leave.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "joistctl.h"

static struct termios saved;
static bool raw;

static void tty_restore(void)
{
	if (raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	raw = false;
}

static void tty_raw(void)
{
	struct termios t;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved))
		return;
	t = saved;
	cfmakeraw(&t);
	t.c_oflag |= OPOST;	/* our own messages want their newlines */
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t))
		return;
	raw = true;
	atexit(tty_restore);
}

/* Where the escape sequence is. */
enum escape { ESC_TEXT, ESC_LINE_START, ESC_TILDE };

/* Bytes for the guest out of what was typed; false: "~." was. */
static bool filter(enum escape *state, const u8 *in, size_t len, u8 *out,
		   size_t *out_len)
{
	size_t i;

	*out_len = 0;
	for (i = 0; i < len; i++) {
		if (*state == ESC_TILDE) {
			if (in[i] == '.')
				return false;
			/* The tilde held back; "~~" is one. */
			out[(*out_len)++] = '~';
			*state = ESC_TEXT;
			if (in[i] == '~')
				continue;
		} else if (*state == ESC_LINE_START && in[i] == '~') {
			*state = ESC_TILDE;
			continue;
		}
		out[(*out_len)++] = in[i];
		*state = in[i] == '\r' || in[i] == '\n' ? ESC_LINE_START :
							  ESC_TEXT;
	}
	return true;
}

static bool write_all(int fd, const u8 *p, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

enum console_end console_loop(int fd, bool watch)
{
	struct pollfd p[2] = { { fd, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
	enum console_end end = CONSOLE_CLOSED;
	enum escape state = ESC_LINE_START;
	u8 in[2048], out[2 * sizeof(in)];
	size_t len;
	ssize_t n;

	tty_raw();
	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents) {
			n = read(fd, out, sizeof(out));
			if (n <= 0)
				break;
			if (!write_all(STDOUT_FILENO, out, (size_t)n)) {
				end = CONSOLE_BROKEN;
				break;
			}
		}
		if (!p[1].revents)
			continue;
		n = read(STDIN_FILENO, in, sizeof(in));
		if (n <= 0) {
			p[1].fd = -1;
			if (!watch)
				shutdown(fd, SHUT_WR);
		} else if (!raw) {
			if (!watch && proto_write(fd, in, (size_t)n))
				p[1].fd = -1;
		} else if (!filter(&state, in, (size_t)n, out, &len)) {
			if (!watch)
				proto_write(fd, out, len);
			end = CONSOLE_DETACHED;
			break;
		} else if (!watch && proto_write(fd, out, len)) {
			p[1].fd = -1;
		}
	}
	tty_restore();
	return end;
}
