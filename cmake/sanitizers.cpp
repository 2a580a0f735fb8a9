// How AddressSanitizer begins, in programs and tests. What it keeps to see a use after its end costs pages, each touched once, by processes that live for a
// tenth of a second and by tests that open the queue a thousand times.
//   frames     64 KiB of each size for use after return, rather than 1 MiB: a quarter of all page faults of a program's start
//   quarantine 16 MiB of what was freed, rather than 256: a test seldom frees more between an end and a use
//   stacks     16 calls deep at each allocation, rather than 30
// Source: https://github.com/google/sanitizers/wiki/AddressSanitizerFlags

extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options()
{
    return "min_uar_stack_size_log=16:max_uar_stack_size_log=16:quarantine_size_mb=16:malloc_context_size=16";
}
