/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef JOIST_VM_SPECULATION_H
#define JOIST_VM_SPECULATION_H

/* This process, and all it starts from now on.  control: /dev/joistctl. */
void speculation_guard(int control);

#endif
