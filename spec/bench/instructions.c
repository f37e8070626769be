/* instructions.c -- a plugin of qemu that counts the instructions of the program it runs:
 *
 *   QEMU_PLUGIN=file=qemu_instructions.so qemu-mipsel PROGRAM...
 *
 * At the end it prints "instructions COUNT" to standard error. What it needs of qemu's interface is declared
 * here, as Debian has no package of its header. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_info;
struct qemu_plugin_tb;
enum callback_flags { NO_REGISTERS };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*executed)(unsigned, void *),
					  enum callback_flags flags, void *context);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id, void *), void *context);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);

EXPORT extern int qemu_plugin_version;
EXPORT int qemu_plugin_version = 1;

static uint64_t count;

static void executed(unsigned processor, void *length)
{
	(void)processor;
	count += (uintptr_t)length;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS, (void *)qemu_plugin_tb_n_insns(block));
}

static void ended(plugin_id id, void *context)
{
	(void)id, (void)context;
	fprintf(stderr, "instructions %" PRIu64 "\n", count);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv);

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
	(void)info, (void)argc, (void)argv;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
