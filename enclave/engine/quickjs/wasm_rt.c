/* The run-time part of wasm2c, from Debian's wabt, with our trap handler in place of its own signal handling:
 * its handler takes every SIGSEGV of the process for a trap of the guest. */
#define WASM_RT_SKIP_SIGNAL_RECOVERY 1
void encl_guest_on_trap(int code) __attribute__((noreturn));
#define WASM_RT_TRAP_HANDLER encl_guest_on_trap
#include <wasm-rt-impl.c>
