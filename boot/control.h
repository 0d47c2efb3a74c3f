/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.h -- the control VM: loading its kernel, entering it.
 */
#ifndef BOOT_CONTROL_H
#define BOOT_CONTROL_H

#include "boot/mb2.h"
#include "core/types.h"

struct acpi_info;
struct acpi_reader;
struct vcpu;

/* Loads kernel and initrd into the control VM's memory; before the pool is
 * filled, since the boot modules may lie there; may move modules. */
void control_load(struct boot_info *bi);
/* The tables it sees: without what Joist owns, with the wakeup mailbox. */
void control_acpi(const struct acpi_info *acpi, const struct acpi_reader *r);
/* Memory map and boot parameters; the last step before entry. */
void control_finish(const struct boot_info *bi);
/* The boot core's vCPU at the kernel's entry. */
void control_set_entry(struct vcpu *v);
/* Another core's: waits until the control VM wakes it, then sets it up. */
void control_wait_wakeup(struct vcpu *v, u32 apic_id);

#endif
