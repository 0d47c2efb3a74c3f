/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user_net.c -- starts joist-net, one for each card of a user network.
 *
 * It reads what the guest sends and makes sockets, so it is no part of us:
 * under root it gets a user number that is nobody else's.  When it ends, the
 * machine sees its socket close, and takes the card's link down.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"
#include "sandbox.h"
#include "user_net.h"

#define PROGRAM		"joist-net"
#define READY		"ready\n"

static struct helper nets[VM_NICS];

/* In the child. */
static void own_user(void *arg)
{
	const struct nic *n = arg;
	uid_t own = SANDBOX_UID + (uid_t)getpid();

	if (!geteuid() && (setgroups(0, NULL) || setresgid(own, own, own) ||
			   setresuid(own, own, own)))
		helper_fail("a user of its own");
	fcntl(n->far, F_SETFD, 0);
}

static bool start(struct helper *h, struct nic *n, char *text, size_t size)
{
	const char *argv[NET_FORWARDS + 4] = { PROGRAM }, **arg = argv + 1;
	const struct helper_start s = {
		.argv = argv, .ready = READY, .death_signal = SIGKILL,
		.prepare = own_user, .arg = n,
	};
	char fd[16];
	bool ready;

	snprintf(fd, sizeof(fd), "%d", n->far);
	*arg++ = fd;
	if (n->loopback)
		*arg++ = "loopback";
	memcpy(arg, n->forward, n->forwards * sizeof(argv[0]));
	ready = helper_start(h, &s, text, size);
	close(n->far);
	return ready;
}

bool user_net_start(struct vm_config *cfg, char *error, size_t size)
{
	char text[HELPER_SAYS];
	unsigned i;

	for (i = 0; i < cfg->nics; i++) {
		if (!cfg->nic[i].user ||
		    start(&nets[i], &cfg->nic[i], text, sizeof(text)))
			continue;
		snprintf(error, size, "user network: %s", text);
		return false;
	}
	return true;
}

int user_net_fd(unsigned nic)
{
	return helper_fd(&nets[nic]);
}

bool user_net_event(unsigned nic, char *text, size_t size)
{
	char says[HELPER_SAYS];

	if (!helper_event(&nets[nic], says, sizeof(says)))
		return false;
	snprintf(text, size, "network card %u: %s%s", nic, says,
		 user_net_fd(nic) < 0 ? ": its link is down from now on" : "");
	return true;
}

void user_net_close(void)
{
	unsigned i;

	for (i = 0; i < VM_NICS; i++)
		helper_stop(&nets[i]);
	for (i = 0; i < VM_NICS; i++)
		helper_end(&nets[i]);
}
